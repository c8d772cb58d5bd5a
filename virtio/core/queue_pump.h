// pump_queue: takes requests from a queue in a bounded batch, without losing a kick.
//
//   BatchBudget budget{.requests = queue.size(), .bytes = kMaxBatchBytes};
//   const PumpResult end = pump_queue(queue, budget, [&](DescriptorChain chain) {
//     budget.bytes -= ...;                       // the request itself is charged by the pump
//     std::move(chain).complete(n);
//     return Pump::Next;
//   });
//   publish, then: end.fault -> the ring is broken; end.left == Some -> ask to be called again
//
// Kicks are disabled while there is work and enabled, with a second look, when there is none (virtio 1.2 section
// 2.7.10). A handler that cannot go on puts its chain back and says Stop: kicks stay disabled then, and the device
// comes back by itself, from the event that it waits for.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include "virtio/core/virt_queue.h"

namespace wisp {

enum class Pump { Next, Stop };

struct BatchBudget {
  std::size_t requests;
  std::uint64_t bytes;

  bool spent() const { return requests == 0 || bytes == 0; }
  void charge_bytes(std::uint64_t count) { bytes -= count < bytes ? count : bytes; }
};

struct PumpResult {
  Backlog left = Backlog::None;     ///< Some: the budget is spent and there is more
  bool found = false;               ///< at least one chain was there
  bool stopped = false;             ///< the handler said Stop
  std::optional<QueueFault> fault;  ///< the ring is broken
};

template <typename Handler>
PumpResult pump_queue(VirtQueue& queue, BatchBudget& budget, Handler&& handle) {
  PumpResult result;
  queue.disable_notifications();
  while (!budget.spent()) {
    PopResult popped = queue.pop();
    if (const auto* fault = std::get_if<QueueFault>(&popped)) {
      result.fault = *fault;
      return result;
    }
    --budget.requests;  // a driver that moves its index back and forth uses the budget up, too
    if (auto* chain = std::get_if<DescriptorChain>(&popped)) {
      result.found = true;
      if (handle(std::move(*chain)) == Pump::Stop) {
        result.stopped = true;
        return result;
      }
    } else if (queue.enable_notifications() == Backlog::None) {
      return result;
    } else {
      queue.disable_notifications();
    }
  }
  // A ring that was full and is now empty, say: the turn of the loop that would only find that out is saved.
  if (queue.enable_notifications() == Backlog::Some) {
    queue.disable_notifications();
    result.left = Backlog::Some;
  }
  return result;
}

}  // namespace wisp
