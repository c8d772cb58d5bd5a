// Hot-pluggable memory with a driver on the other side of its queue, and slots that can be made to fail.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/resident.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"
#include "virtio/mem/device.h"

namespace wisp::fakes {

inline constexpr std::uint64_t kMib = 1024 * 1024;
inline constexpr std::uint64_t kBlock = 2 * kMib;
inline constexpr std::uint64_t kSlot = 128 * kMib;
inline constexpr std::uint64_t kHot = std::uint64_t{512} << 30;
inline constexpr std::uint32_t kTotalMib = 4096;  // 32 slots
inline constexpr std::uint64_t kRequest = 0x20000, kAnswer = 0x21000;
inline constexpr std::uint16_t kPlug = 0, kUnplug = 1, kUnplugAll = 2, kState = 3;
inline constexpr std::uint16_t kAck = 0, kNack = 1, kBusy = 2, kErr = 3, kNoAnswer = 0xeeee;
inline constexpr std::uint64_t kMemFeatures = (std::uint64_t{1} << 32) | (1U << 28) | 2U;

inline GuestRange hot_blocks(std::uint64_t first, std::uint64_t count) {
  return {GuestAddress(kHot + first * kBlock), count * kBlock};
}

/// The machine's half: remembers what the guest can reach, and looks at the memory at the moment of each call.
class FakeSlots final : public HotplugSlots {
 public:
  Status add_slot(std::size_t index, GuestRange range) override {
    if (fail_add_at == index) {
      return Error(ErrorCode::HostFault, "no slot, says the test");
    }
    WISP_ASSERT(range.start.value() == kHot + index * kSlot && range.size_bytes == kSlot);
    WISP_ASSERT(present.insert(index).second);
    ++changes;
    return {};
  }
  Status remove_slot(std::size_t index) override {
    if (fail_remove_at == index) {
      return Error(ErrorCode::HostFault, "the slot stays, says the test");
    }
    WISP_ASSERT(present.erase(index) == 1);
    ++changes;
    if (memory != nullptr) {
      resident_at_removal = resident_pages(*memory, {GuestAddress(kHot + index * kSlot), kSlot});
    }
    return {};
  }

  std::set<std::size_t> present;
  std::optional<std::size_t> fail_add_at, fail_remove_at;
  int changes = 0;
  const GuestMemory* memory = nullptr;
  std::size_t resident_at_removal = 0;
};

inline GuestMemory make_hot_memory() {
  const GuestRange low{GuestAddress(kLowStart), kLowBytes};
  return GuestMemory::create(std::span(&low, 1), PageBacking::Normal,
                             HotplugRange{{GuestAddress(kHot), kTotalMib * kMib}, kBlock})
      .value();
}

struct MemRig {
  explicit MemRig(std::uint64_t requested_mib = 1024)
      : device(MemDevice::create({kTotalMib, 2, 128}, GuestAddress(kHot), slots, memory).value()) {
    slots.memory = &memory;
    device->attach(signals);
    WISP_ASSERT(activate(kMemFeatures).ok());
    WISP_ASSERT(device->request(requested_mib).ok());
  }
  Status activate(std::uint64_t features) {
    QueueConfig config(256);
    config.set_size(queue.size());
    config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                       static_cast<std::uint32_t>(queue.place().descriptors));
    config.set_address(QueuePart::AvailableRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().available));
    config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().used));
    WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
    Activation activation{&memory, interrupt.get(), features, {}};
    activation.queues.push_back(config.activate(memory, features));
    return device->activate(std::move(activation));
  }
  void put_request(std::uint16_t type, std::uint64_t address, std::uint16_t block_count) const {
    guest.fill(kRequest, 24, 0);
    guest.put(kRequest, type, 2);
    guest.put(kRequest + 8, address, 8);
    guest.put(kRequest + 16, block_count, 2);
  }
  /// Offers a chain and serves it; the used length.
  std::uint32_t run(std::uint16_t head) {
    guest.fill(kAnswer, 16, 0xee);
    queue.offer(head);
    turns = 1;
    while (device->on_queue(0)) {
      ++turns;
    }
    const auto used = queue.take_used();
    WISP_ASSERT(used.has_value() && used->id == head);
    return used->length;
  }
  std::uint16_t answer() const { return static_cast<std::uint16_t>(guest.get(kAnswer, 2)); }
  std::uint16_t state() const { return static_cast<std::uint16_t>(guest.get(kAnswer + 8, 2)); }
  std::uint16_t ask_at(std::uint16_t type, std::uint64_t address, std::uint16_t count) {
    put_request(type, address, count);
    const std::uint32_t length = run(ChainBuilder(queue, 0).readable(kRequest, 24).writable(kAnswer, 10).build());
    WISP_ASSERT(length == 10);
    return answer();
  }
  std::uint16_t ask(std::uint16_t type, std::uint64_t first_block = 0, std::uint16_t count = 0) {
    return ask_at(type, kHot + first_block * kBlock, count);
  }
  std::uint64_t config_field(std::uint64_t offset) const {
    std::array<std::byte, 8> bytes{};
    device->read_config(offset, bytes);
    return std::bit_cast<Le64>(bytes);
  }
  std::uint64_t usable() const { return config_field(32); }
  std::uint64_t plugged() const { return config_field(40); }

  GuestMemory memory = make_hot_memory();
  GuestView guest{memory};
  FakeSlots slots;
  std::unique_ptr<InterruptLine> interrupt = InterruptLine::create().value();
  FakeSignals signals;
  FakeQueue queue{memory, {}, 16};
  int turns = 0;
  std::unique_ptr<MemDevice> device;
};

}  // namespace wisp::fakes
