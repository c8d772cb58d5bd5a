// One live queue over fake memory, with a driver on the other side.
#pragma once

#include <initializer_list>
#include <utility>
#include <variant>

#include "tests/fakes/fake_driver.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"

namespace wisp::fakes {

inline constexpr std::uint64_t kAllQueueFeatures = feature::kVersion1 | feature::kIndirectDescriptors;

inline QueueConfig configure(QueuePlace place, std::uint32_t size) {
  QueueConfig config(256);
  config.set_size(size);
  config.set_address(QueuePart::DescriptorTable, AddressHalf::Low, static_cast<std::uint32_t>(place.descriptors));
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, static_cast<std::uint32_t>(place.available));
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(place.used));
  config.set_address(QueuePart::DescriptorTable, AddressHalf::High,
                     static_cast<std::uint32_t>(place.descriptors >> 32U));
  config.set_address(QueuePart::AvailableRing, AddressHalf::High, static_cast<std::uint32_t>(place.available >> 32U));
  config.set_address(QueuePart::UsedRing, AddressHalf::High, static_cast<std::uint32_t>(place.used >> 32U));
  return config;
}

inline VirtQueue activate(const GuestMemory& memory, QueuePlace place, std::uint16_t size, std::uint64_t features) {
  QueueConfig config = configure(place, size);
  WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
  auto queue = config.activate(memory, features);
  WISP_ASSERT(queue.has_value());
  return std::move(*queue);
}

struct QueueRig {
  explicit QueueRig(std::uint16_t size = 8, std::uint64_t features = kAllQueueFeatures)
      : driver(memory, {}, size), queue(activate(memory, {}, size, features)) {}

  DescriptorChain pop_chain() {
    PopResult popped = queue.pop();
    auto* chain = std::get_if<DescriptorChain>(&popped);
    WISP_ASSERT(chain != nullptr);
    return std::move(*chain);
  }
  std::optional<QueueFault> pop_fault() {
    PopResult popped = queue.pop();
    const auto* fault = std::get_if<QueueFault>(&popped);
    return fault == nullptr ? std::nullopt : std::optional(*fault);
  }
  bool pop_empty() { return std::holds_alternative<QueueEmpty>(queue.pop()); }
  /// Offers the simplest chain at `head`.
  void offer_one(std::uint16_t head) { driver.offer(ChainBuilder(driver, head).writable(0x20000, 16).build()); }
  /// Pops and completes at once.
  void answer_one(std::uint32_t length = 0) { pop_chain().complete(length); }

  GuestMemory memory = make_memory();
  FakeQueue driver;
  VirtQueue queue;
};

}  // namespace wisp::fakes
