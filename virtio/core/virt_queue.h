// VirtQueue: one live split virtqueue, device side (virtio 1.2 section 2.7).
//
//   queue.disable_notifications();
//   do {
//     PopResult popped = queue.pop();      // QueueEmpty, a DescriptorChain, or a QueueFault
//     ... std::move(chain).complete(n);    // any time, in any order
//   } while (queue.enable_notifications() == Backlog::Some);
//   if (queue.publish() == Interrupt::Needed) { interrupt.raise(kInterruptUsedRing); }
//
// Completions become visible to the driver together, at publish(). A QueueFault is latched: pop() returns it from then
// on, only a device reset makes a new queue. Chains in flight can still be completed.
//
// Only QueueConfig::activate makes one, from checked addresses that no register can change afterwards. Nothing is
// allocated after that. Not thread-safe: it belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "virtio/core/ring_core.h"

namespace wisp {

class VirtQueue {
 public:
  VirtQueue(const GuestMemory& memory, const RingParts& parts, std::uint64_t negotiated_features)
      : core_(std::make_unique<RingCore>(memory, parts, negotiated_features)) {}

  [[nodiscard]] PopResult pop() { return core_->pop(); }
  /// Shows all completed chains to the driver and says whether it wants an interrupt for them.
  [[nodiscard]] Interrupt publish() { return core_->publish(); }
  /// Tells the driver not to kick; it may do so all the same.
  void disable_notifications() { core_->disable_notifications(); }
  /// Tells the driver to kick, then looks again: Some means work came in between for which no kick may come.
  [[nodiscard]] Backlog enable_notifications() { return core_->enable_notifications(); }

  std::uint16_t size() const { return core_->size(); }
  const RingAddresses& addresses() const { return core_->addresses(); }
  /// Chains that were seen as available but not popped yet.
  std::uint16_t backlog_count() const { return core_->backlog_count(); }
  /// Chains that were popped and have not ended.
  std::uint16_t in_flight_count() const { return core_->in_flight_count(); }
  std::uint64_t dropped_chain_count() const { return core_->dropped_chain_count(); }
  std::optional<QueueFault> fault() const { return core_->fault(); }
  std::uint16_t next_available() const { return core_->next_available(); }
  std::uint16_t next_used() const { return core_->next_used(); }
  /// Goes on where a captured queue stood. Only for a queue of which nothing was popped.
  void continue_at(std::uint16_t next_available, std::uint16_t next_used) {
    core_->continue_at(next_available, next_used);
  }

 private:
  std::unique_ptr<RingCore> core_;
};

}  // namespace wisp
