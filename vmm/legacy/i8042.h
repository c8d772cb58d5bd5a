// I8042: the keyboard controller, for two things only: Ctrl-Alt-Del from the operator, and the guest's reset.
//
//   ports 0x60 (offset 0): data      0x64 (offset 4): status when read, command when written
//
//   command  0x20 / 0x60  read / write the control byte        0xaa  self-test, answers 0x55
//            0xad / 0xae  keyboard off / on                    0xab  keyboard test, answers 0
//            0xd0 / 0xd1  read / write the output port         0xd2  puts a byte into the output buffer
//            0xd3 / 0xd4  for the mouse, which is not there: the byte that follows is swallowed
//            0xfe         resets the machine: on_reset is called, for the first such command
//   keyboard 0xff answers FA AA, 0xf2 (identify) FA AB 83, 0xee EE, everything else FA
//
// There is no scan code translation: what the keyboard says is scan code set 2. The output buffer holds
// kKeyboardBufferBytes; while interrupts are enabled each byte that becomes readable signals line 1. Ports are one byte
// wide; wider accesses, and the ports between, are not decoded and counted as missed. Called by vCPU threads and the
// loop; one leaf lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "vmm/base/metrics.h"
#include "vmm/bus/bus.h"
#include "vmm/events/event_fd.h"

namespace wisp {

inline constexpr std::size_t kKeyboardBufferBytes = 16;

struct I8042Metrics {
  Counter error_count;         ///< answers and keys that found the output buffer full
  Counter missed_read_count;   ///< reads of a width or port that is not decoded
  Counter missed_write_count;  ///< writes of such a width or port
  Counter read_count;
  Counter reset_count;
  Counter write_count;

  std::vector<MetricField> fields() const;
};

class I8042 final : public BusDevice {
 public:
  /// `on_reset` runs on the vCPU's thread, without our lock; it must only pass the word on.
  static Result<std::unique_ptr<I8042>> create(std::function<void()> on_reset);

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  /// Presses the three keys. All or none: fails when the guest has not read what was sent before.
  Status send_ctrl_alt_del();

  /// Registers and unread answers. While no vCPU runs.
  void save(StateWriter& out);
  Status restore(StateReader& in);

  const EventFd& interrupt() const { return interrupt_; }
  I8042Metrics& metrics() { return metrics_; }

 private:
  struct PrivateTag {};

 public:
  I8042(PrivateTag tag, std::function<void()> on_reset, EventFd interrupt);

 private:
  /// Where the next byte written to the data port goes.
  enum class DataTarget { Keyboard, ControlByte, OutputPort, OutputBuffer, Nowhere };
  enum class Effect { None, Reset };

  std::uint8_t read_data();
  std::uint8_t status() const;
  void write_data(std::uint8_t value);
  Effect write_command(std::uint8_t command);
  void answer(std::span<const std::uint8_t> bytes);
  void answer_keyboard(std::uint8_t command);
  void set_control(std::uint8_t value);
  bool interrupts_enabled() const;
  void push(std::uint8_t byte);

  const std::function<void()> on_reset_;
  const EventFd interrupt_;
  I8042Metrics metrics_;

  std::mutex mutex_;  // leaf lock for everything below
  std::array<std::uint8_t, kKeyboardBufferBytes> buffer_{};
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::uint8_t control_;
  std::uint8_t output_port_;
  DataTarget data_target_ = DataTarget::Keyboard;
  bool command_was_last_ = false;
  bool reset_requested_ = false;
};

}  // namespace wisp
