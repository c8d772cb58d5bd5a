// Serial: the guest's first serial port, a 16550A UART at 0x3f8 with interrupt line 4.
//
//   auto serial = WISP_TRY(Serial::create(SerialOutput::shared(FdRef(STDOUT_FILENO))));
//   ports.add(0x3f8, kSerialRegisterCount, *serial);
//   kvm.register_irqfd(serial->interrupt().ref(), 4);
//
// Registers (offset, as the NS16550A data sheet names them; DLAB is bit 7 of LCR):
//   0 RBR read, THR write (DLAB: divisor low)      4 MCR
//   1 IER                 (DLAB: divisor high)     5 LSR
//   2 IIR read, FCR write                          6 MSR
//   3 LCR                                          7 SCR
//
// The transmitter is always empty: a byte goes to the sink at once or is lost and counted. The receiver holds
// kReceiveFifoBytes in every mode. The line is edge-triggered (an irqfd), so each new cause signals once; it does not
// stay high. OUT2 does not gate it. Registers are one byte wide; wider accesses are not decoded and counted as missed.
//
// Called by vCPU threads (registers) and by the loop thread (input); one leaf lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "virtio/limit/token_bucket.h"
#include "vmm/base/clock.h"
#include "vmm/base/metrics.h"
#include "vmm/bus/bus.h"
#include "vmm/events/event_fd.h"
#include "vmm/legacy/serial_output.h"

namespace wisp {

inline constexpr std::uint64_t kSerialRegisterCount = 8;
inline constexpr std::size_t kReceiveFifoBytes = 64;

struct SerialMetrics {
  Counter error_count;         ///< input that could not be read
  Counter flush_count;         ///< bytes that reached the sink
  Counter missed_read_count;   ///< reads of a width that is not decoded
  Counter missed_write_count;  ///< writes of such a width, and bytes that the sink did not take
  Counter read_count;          ///< bytes read from the receiver
  Counter write_count;         ///< bytes written to the transmitter
  Counter rate_limiter_dropped_bytes;

  std::vector<MetricField> fields() const;
};

class Serial final : public BusDevice {
 public:
  /// Output beyond `limit` (tokens are bytes) is dropped and counted; time is the clock's.
  static Result<std::unique_ptr<Serial>> create(SerialOutput output, const TokenBucketConfig& limit = {},
                                                const Clock& clock = monotonic_clock());

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  /// How many bytes of input fit now. After an answer of 0 the room event fires when the guest has made room.
  std::size_t input_room();
  /// Puts in what fits and returns how much that was.
  std::size_t put_input(std::span<const std::byte> bytes);

  /// Registers, unread input and what is left of the limit. While no vCPU runs.
  void save(StateWriter& out);
  Status restore(StateReader& in);

  const EventFd& interrupt() const { return interrupt_; }
  const EventFd& room_event() const { return room_event_; }
  SerialMetrics& metrics() { return metrics_; }

 private:
  struct PrivateTag {};

 public:
  Serial(PrivateTag tag, SerialOutput output, EventFd interrupt, EventFd room_event, const TokenBucketConfig& limit,
         const Clock& clock);

 private:
  /// Interrupt causes, as bits that match the enable bits of IER.
  using Causes = std::uint8_t;

  class ReceiveFifo {
   public:
    std::size_t size() const { return size_; }
    std::size_t room() const { return bytes_.size() - size_; }
    void push(std::uint8_t byte);
    std::uint8_t pop();
    void clear() { size_ = 0; }

   private:
    std::array<std::uint8_t, kReceiveFifoBytes> bytes_{};
    std::size_t first_ = 0;
    std::size_t size_ = 0;
  };

  std::uint8_t read_register(std::uint64_t offset);
  void write_register(std::uint64_t offset, std::uint8_t value);
  std::uint8_t read_receiver();
  std::uint8_t read_interrupt_identification();
  std::uint8_t read_line_status();
  std::uint8_t read_modem_status();
  void write_transmitter(std::uint8_t value);
  void send(std::byte byte);
  void write_interrupt_enable(std::uint8_t value);
  void write_fifo_control(std::uint8_t value);
  void write_modem_control(std::uint8_t value);
  bool divisor_latched() const;
  Causes causes() const;
  void signal_new(Causes before);
  void announce_room();

  const SerialOutput output_;
  const Clock& clock_;
  const EventFd interrupt_;
  const EventFd room_event_;
  SerialMetrics metrics_;

  std::mutex mutex_;  // leaf lock for everything below; held for at most one non-blocking write to the sink
  TokenBucket limit_;
  ReceiveFifo received_;
  bool transmitter_empty_pending_ = false;
  bool room_wanted_ = false;
  std::uint8_t interrupt_enable_ = 0;
  std::uint8_t fifo_control_ = 0;
  std::uint8_t line_control_ = 0;
  std::uint8_t modem_control_ = 0;
  std::uint8_t line_errors_ = 0;
  std::uint8_t modem_status_;
  std::uint8_t scratch_ = 0;
  std::uint8_t divisor_low_ = 12;  // 9600 baud
  std::uint8_t divisor_high_ = 0;
};

}  // namespace wisp
