// QueueDevice: what every queue-driven virtio device does alike, so that a device is only about its requests.
//
//   class RngDevice final : public QueueDevice {
//     Backlog serve(std::size_t index) override;      // pop, work, complete, publish(index)
//     ...
//   };
//
// Life (the table of VirtioDevice, plus Broken: a ring fault waits for the driver's reset):
//
//   Inactive --activate--> Active --quiesce--> Quiesced --resume--> Active
//      ^                      |--break_queue--> Broken      (a broken device resumes as Broken)
//      +------------------- reset from any
//
// A device overrides the hooks it needs. Its destructor calls reset(), because the hooks are its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "virtio/core/device.h"
#include "virtio/core/queue_pump.h"
#include "vmm/base/metrics.h"

namespace wisp {

/// Where a device counts what QueueDevice notices.
struct QueueDeviceCounters {
  Counter& activate_fails;
  Counter& cfg_fails;    ///< driver writes to a configuration space that has nothing to write
  Counter& event_fails;  ///< broken rings
};

class QueueDevice : public VirtioDevice {
 public:
  void write_config(std::uint64_t offset, std::span<const std::byte> data) override;
  void attach(TransportSignals& signals) final { signals_ = &signals; }
  Status activate(Activation activation) final;
  [[nodiscard]] bool on_queue(std::size_t index) final;
  void quiesce() final;
  std::size_t in_flight_count() const override { return 0; }
  void resume() final;
  void reset() final;
  const VirtQueue* queue(std::size_t index) const final;

 protected:
  /// `name` is for log lines and errors: "drive rootfs".
  QueueDevice(std::string name, QueueDeviceCounters counters) : name_(std::move(name)), counters_(counters) {}

  // Hooks.
  /// Handles at most one batch of queue `index` and publishes it. Some: there may be more, call again. Only called
  /// while active, for queues that the driver made ready.
  virtual Backlog serve(std::size_t index) = 0;
  /// Queues are there, features() is set. An error leaves the device inactive.
  virtual Status on_activate() { return {}; }
  /// No chain may be held when the device can be captured: put back or complete what is held here.
  virtual void on_quiesce() {}
  /// Called before the queues are served again.
  virtual void on_resume() {}
  /// Abandon every chain held and touch guest memory no more. Also called for an inactive device.
  virtual void on_reset() {}
  /// Whether the driver may leave queue `index` unready.
  virtual bool may_be_absent(std::size_t /*index*/) const { return false; }

  bool active() const { return life_ == Life::Active; }
  bool quiesced() const { return life_ == Life::Quiesced; }
  bool has_queue(std::size_t index) const { return index < queues_.size() && queues_[index].has_value(); }
  VirtQueue& queue_at(std::size_t index) { return *queues_[index]; }
  const GuestMemory& memory() const { return *memory_; }
  std::uint64_t negotiated_features() const { return features_; }
  InterruptLine& interrupt() { return *interrupt_; }
  bool negotiated(std::uint64_t feature_bits) const { return (features_ & feature_bits) == feature_bits; }
  TransportSignals& signals() { return *signals_; }
  const std::string& name() const { return name_; }
  /// Shows completed chains to the driver and interrupts it when it wants that.
  void publish(std::size_t index);
  /// The ring cannot be trusted: nothing is served any more until the driver resets the device.
  void break_queue(QueueFault fault);
  /// publish() and break_queue() as `result` asks for, and the answer for serve().
  Backlog conclude(std::size_t index, const PumpResult& result);

  /// Copies the part of `space` that [offset, offset + data.size()) covers.
  static void read_from(std::span<const std::byte> space, std::uint64_t offset, std::span<std::byte> data);

 private:
  enum class Life : std::uint8_t { Inactive, Active, Quiesced, Broken };

  std::string name_;
  QueueDeviceCounters counters_;
  Life life_ = Life::Inactive;
  TransportSignals* signals_ = nullptr;
  const GuestMemory* memory_ = nullptr;
  InterruptLine* interrupt_ = nullptr;
  std::uint64_t features_ = 0;
  std::vector<std::optional<VirtQueue>> queues_;
};

}  // namespace wisp
