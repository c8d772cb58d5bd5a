// A balloon with a driver on the other side of its queues; no transport, one thread.
#pragma once

#include <memory>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/resident.h"
#include "virtio/balloon/device.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"

namespace wisp::fakes {

inline constexpr std::uint64_t kPage = 4096;
inline constexpr std::uint64_t kRamStart = 0x100000;
inline constexpr std::uint64_t kRamPages = 1024;
inline constexpr std::uint32_t kFirstFrame = kRamStart / kPage;
/// The rings, the lists and the buffers lie in the first pages; tests give back what is behind.
inline constexpr std::uint64_t kRings = kRamStart, kList = kRamStart + 0x20000, kFree = kRamStart + 0x100000;
inline constexpr std::uint64_t kSecond = 1'000'000'000;

inline GuestMemory make_ram() {
  const GuestRange range{GuestAddress(kRamStart), kRamPages * kPage};
  return GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
}

inline std::optional<VirtQueue> live_queue(const GuestMemory& memory, const FakeQueue& queue, std::uint64_t features) {
  QueueConfig config(256);
  config.set_size(queue.size());
  config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                     static_cast<std::uint32_t>(queue.place().descriptors));
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().available));
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().used));
  WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
  return config.activate(memory, features);
}

struct BalloonRig {
  explicit BalloonRig(const BalloonConfig& config = {}, std::optional<std::uint64_t> accepted = std::nullopt)
      : device(BalloonDevice::create(config, kRamPages / 256, *loop, clock).value()) {
    device->attach(signals);
    features = accepted.value_or(device->offered_features() & ~feature::kEventIndex);
    for (std::uint64_t index = 0; index < kBalloonQueueKinds; ++index) {
      const std::uint64_t start = kRings + index * 0x4000;
      queues.emplace_back(memory, QueuePlace{start, start + 0x1000, start + 0x2000}, std::uint16_t{16});
    }
    activate();
  }
  void activate() {
    Activation activation{&memory, interrupt.get(), features, {}};
    for (std::size_t index = 0; index < device->queue_count(); ++index) {
      activation.queues.push_back(live_queue(memory, queues[index], features));
    }
    WISP_ASSERT(device->activate(std::move(activation)).ok());
  }
  /// The driver kicks; the loop does what it would. How many turns it took.
  int kick(std::size_t queue) {
    int turns = 1;
    while (device->on_queue(queue)) {
      ++turns;
    }
    return turns;
  }
  /// A list of page frames, in one buffer.
  void inflate(const std::vector<std::uint32_t>& frames, std::size_t queue = 0) {
    for (std::size_t index = 0; index < frames.size(); ++index) {
      guest.put(kList + index * 4, frames[index], 4);
    }
    queues[queue].offer(
        ChainBuilder(queues[queue], 0).readable(kList, static_cast<std::uint32_t>(frames.size() * 4)).build());
    kick(queue);
  }
  void put_statistic(std::size_t place, std::uint16_t tag, std::uint64_t value) const {
    guest.put(kList + place * 10, tag, 2);
    guest.put(kList + place * 10 + 2, value, 8);
  }
  void hint_command(std::size_t queue, std::uint32_t command) {
    guest.put(kList, command, 4);
    queues[queue].offer(ChainBuilder(queues[queue], 0).readable(kList, 4).build());
    kick(queue);
  }
  void offer_range(std::size_t queue, std::uint64_t start, std::uint32_t length) {
    queues[queue].offer(ChainBuilder(queues[queue], 0).writable(start, length).build());
    kick(queue);
  }
  std::uint32_t config_word(std::uint64_t offset) const {
    std::array<std::byte, 4> bytes{};
    device->read_config(offset, bytes);
    return std::bit_cast<Le32>(bytes);
  }
  std::size_t resident(std::uint64_t start, std::uint64_t pages) const {
    return resident_pages(memory, {GuestAddress(start), pages * kPage});
  }

  GuestMemory memory = make_ram();
  GuestView guest{memory};
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  std::unique_ptr<InterruptLine> interrupt = InterruptLine::create().value();
  fakes::FakeClock clock;
  FakeSignals signals;
  std::uint64_t features = 0;
  std::vector<FakeQueue> queues;
  std::unique_ptr<BalloonDevice> device;  // ends before the memory
};

}  // namespace wisp::fakes
