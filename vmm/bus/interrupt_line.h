// InterruptLine: how a device tells the guest that something happened.
//
// A status word that the transport shows to the driver, and an eventfd that KVM turns into an interrupt (irqfd).
// Raising is lock-free and may come from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "vmm/base/metrics.h"
#include "vmm/events/event_fd.h"

namespace wisp {

struct InterruptMetrics {
  Counter triggers;        ///< edges that were signalled, of all lines together
  Counter config_updates;  ///< changes of routing; the lines of this transport have none
};
/// Those of the process.
InterruptMetrics& interrupt_metrics();

class InterruptLine {
 public:
  static Result<std::unique_ptr<InterruptLine>> create();
  explicit InterruptLine(EventFd event) : event_(std::move(event)) {}

  /// Sets the bits, then signals (that order: the driver that takes the interrupt must find the bits).
  void raise(std::uint32_t bits) {
    status_.fetch_or(bits, std::memory_order_acq_rel);
    event_.signal();
    interrupt_metrics().triggers.add();
  }
  std::uint32_t status() const { return status_.load(std::memory_order_acquire); }
  /// The driver's acknowledgement clears the bits that it names.
  void acknowledge(std::uint32_t bits) { status_.fetch_and(~bits, std::memory_order_acq_rel); }
  /// The status of a snapshot; nothing is signalled.
  void restore(std::uint32_t bits) { status_.store(bits, std::memory_order_release); }
  void clear() { status_.store(0, std::memory_order_release); }

  FdRef event_fd() const { return event_.ref(); }

 private:
  std::atomic<std::uint32_t> status_ = 0;
  EventFd event_;
};

}  // namespace wisp
