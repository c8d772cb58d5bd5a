// MmioTransport: the virtio-MMIO register file of one device (virtio 1.2 section 4.2).
//
//   auto transport = WISP_TRY(MmioTransport::create(std::move(device), memory, loop));
//   bus.add(window, kMmioWindowSizeBytes, *transport);
//   // KVM: ioeventfd at window + kMmioQueueNotifyOffset, datamatch i -> queue_event(i); irqfd -> interrupt_event()
//
// Two sides:
//   vCPU threads  read() and write(): registers, under one small lock. Interrupt status and acknowledge, which every
//                 interrupt handler of the guest needs, take no lock.
//   loop thread   everything that touches the device. It never takes the register lock: a vCPU may hold it while it
//                 waits for the loop. What the loop shows to the driver (NEEDS_RESET, the configuration generation,
//                 the interrupt status) is atomic.
//
// DRIVER_OK hands frozen queue configurations to the loop and returns. Status 0 is a rendezvous: the loop quiesces the
// device, lets requests in flight end as ordinary events, resets the device and only then lets the vCPU go on, because
// the driver may reuse its memory the moment the write returns. At most one hand-over is outstanding.
//
// Malformed accesses (width, alignment, wrong moment, unknown register) are ignored and counted; reads give 0.
//
// Made and destroyed on the loop's thread; destroyed only when no vCPU can reach it any more.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "virtio/core/device.h"
#include "virtio/core/queue_config.h"
#include "vmm/base/metrics.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/interrupt_line.h"
#include "vmm/events/event_loop.h"

namespace wisp {

inline constexpr std::uint64_t kMmioWindowSizeBytes = 0x1000;
inline constexpr std::uint64_t kMmioQueueNotifyOffset = 0x50;
inline constexpr std::uint64_t kMmioConfigOffset = 0x100;

struct MmioRegister;

/// What a driver did that the transport did not follow, and what became of it.
struct TransportMetrics {
  Counter bad_access_count;        ///< width, alignment, unknown or unwritable register
  Counter refused_write_count;     ///< right register, wrong moment or value
  Counter refused_status_count;    ///< status writes that are not in the table
  Counter refused_features_count;  ///< FEATURES_OK that did not stick
  Counter activate_fails;
  Counter needs_reset_count;
  Counter reset_count;
};

class MmioTransport final : public BusDevice, public TransportSignals {
 public:
  static Result<std::unique_ptr<MmioTransport>> create(std::unique_ptr<VirtioDevice> device, const GuestMemory& memory,
                                                       EventLoop& loop);
  ~MmioTransport() override;

  // vCPU threads
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  // machine set-up: descriptors to bind to KVM (ioeventfd at window + 0x50 with datamatch = queue index; irqfd)
  FdRef queue_event(std::size_t index) const;
  FdRef interrupt_event() const;
  std::size_t queue_count() const;

  // loop thread, for pause and resume
  /// Delivers a pending activation or reset, then stops taking requests. Those in flight go on.
  void quiesce();
  std::size_t in_flight_count() const;
  /// Called on the loop when quiesce() has been asked for and nothing is in flight any more.
  void set_drain_listener(std::function<void()> listener);
  /// Takes requests again and looks at every queue.
  void resume();
  VirtioDevice& device();

  // Capture and restore, loop thread, while no vCPU runs. The device's own part is a section of its own.
  /// Only when quiesced with nothing in flight.
  void save(StateWriter& out);
  /// Into a transport that was just made, after the device's own restore(). Leaves it quiesced: resume() is to follow.
  Status restore(StateReader& in);

  const TransportMetrics& metrics() const { return metrics_; }

  // TransportSignals
  void needs_reset() override;
  void config_changed() override;
  void look_again(std::size_t queue_index) override;
  void drained() override;

 private:
  struct PrivateTag {};
  enum class Handover : std::uint8_t { None, Activate, Reset };
  enum class DeviceLife : std::uint8_t { Inactive, Active, Resetting };
  enum class Pace : std::uint8_t { Running, Quiesced };

  /// The eventfd of one queue, or of the hand-over, and what the loop does about it. Watched edge-triggered: every
  /// signal is an edge, so the counter, which means nothing, is never read. That saves a system call for each kick.
  class Doorbell final : public EventHandler {
   public:
    Doorbell(EventFd event, std::function<void()> action) : event_(std::move(event)), action_(std::move(action)) {}
    void on_event(std::uint32_t events) override;
    void ring() const { event_.signal(); }
    FdRef ref() const { return event_.ref(); }

   private:
    EventFd event_;
    std::function<void()> action_;
  };

 public:
  MmioTransport(PrivateTag tag, std::unique_ptr<VirtioDevice> device, const GuestMemory& memory, EventLoop& loop,
                std::unique_ptr<InterruptLine> interrupt);

 private:
  Status add_doorbells();

  // registers, under registers_mutex_
  std::uint32_t read_register(const MmioRegister& reg);
  void write_register(const MmioRegister& reg, std::uint32_t value);
  std::uint32_t status_with_device_bits() const;
  std::uint32_t device_features_page() const;
  void write_driver_features(std::uint32_t value);
  void write_queue_register(const MmioRegister& reg, std::uint32_t value);
  void write_queue_ready(QueueConfig& queue, std::uint32_t value);
  void write_notify(std::uint32_t value);
  void write_status(std::uint32_t value);
  bool features_acceptable() const;
  void hand_over_activation();
  void reset_from_driver();
  void clear_registers();
  QueueConfig* selected_queue();
  void read_config(std::uint64_t offset, std::span<std::byte> data);
  void write_config(std::uint64_t offset, std::span<const std::byte> data);

  // loop
  void on_handover();
  void on_queue_event(std::size_t index);
  void activate_device();
  Status restore_registers(StateReader& in);
  Status activate_restored(StateReader& in);
  void begin_reset();
  void finish_reset();
  void ring_live_queues();

  std::unique_ptr<VirtioDevice> device_;
  const GuestMemory* memory_;
  EventLoop* loop_;
  std::unique_ptr<InterruptLine> interrupt_;
  std::unique_ptr<Doorbell> handover_bell_;
  std::vector<std::unique_ptr<Doorbell>> queue_bells_;
  TransportMetrics metrics_;

  // shown by the loop, read by vCPUs
  std::atomic<bool> needs_reset_ = false;
  std::atomic<std::uint32_t> config_generation_ = 0;

  // vCPU side
  std::mutex registers_mutex_;
  std::uint32_t status_ = 0;
  std::uint32_t device_features_page_ = 0;
  std::uint32_t driver_features_page_ = 0;
  std::uint64_t driver_features_ = 0;
  bool unknown_features_page_ = false;  // the driver accepted a bit above 63
  std::uint32_t queue_select_ = 0;
  std::vector<QueueConfig> queues_;

  // hand-over: written before handover_ is set (release), read after it is taken (acquire)
  std::atomic<Handover> handover_ = Handover::None;
  std::vector<QueueConfig> handed_queues_;
  std::uint64_t handed_features_ = 0;

  // loop side
  DeviceLife life_ = DeviceLife::Inactive;
  Pace pace_ = Pace::Running;
  std::array<bool, kMaxQueuesPerDevice> live_queues_{};
  std::function<void()> drain_listener_;

  // reset rendezvous; leaf lock
  std::mutex rendezvous_mutex_;
  std::condition_variable rendezvous_;
  std::uint64_t resets_done_ = 0;
};

}  // namespace wisp
