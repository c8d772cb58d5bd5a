// A balloon's buffers of arbitrary shape, in all five queues, with quiesce, resume and timers in between. Each chain
// comes back once (a statistics buffer may be held), and no page changes that no buffer named: memory behind kKept is
// only ever named by accident of address arithmetic.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fuzz_input.h"
#include "virtio/balloon/device.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint16_t kQueueSize = 16;
constexpr std::uint64_t kRam = 0x100000, kRamBytes = 0x100000;
constexpr std::uint64_t kBuffers = kRam + 0x40000, kPages = kRam + 0x80000, kKept = kRam + 0xc0000;
constexpr std::uint32_t kPagesFrame = kPages >> 12;

struct Rig {
  Rig() {
    for (std::uint64_t index = 0; index < kBalloonQueueKinds; ++index) {
      const std::uint64_t start = kRam + index * 0x4000;
      drivers.emplace_back(memory, QueuePlace{start, start + 0x1000, start + 0x2000}, kQueueSize);
    }
    device->attach(signals);
    GuestView(memory).fill(kKept, 0x40000, 0x5a);
  }
  void start() {
    device->reset();
    const std::uint64_t features = device->offered_features() & ~feature::kEventIndex;
    Activation activation{&memory, interrupt.get(), features, {}};
    for (FakeQueue& driver : drivers) {
      driver.start_over();
      QueueConfig config(256);
      config.set_size(kQueueSize);
      config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                         static_cast<std::uint32_t>(driver.place().descriptors));
      config.set_address(QueuePart::AvailableRing, AddressHalf::Low,
                         static_cast<std::uint32_t>(driver.place().available));
      config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(driver.place().used));
      WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
      activation.queues.push_back(config.activate(memory, features));
    }
    WISP_ASSERT(device->activate(std::move(activation)).ok());
    WISP_ASSERT(device->start_hinting(HintingStop::Acknowledge).ok());
  }

  const GuestRange range{GuestAddress(kRam), kRamBytes};
  GuestMemory memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  std::unique_ptr<InterruptLine> interrupt = InterruptLine::create().value();
  fakes::FakeClock clock;
  FakeSignals signals;
  std::vector<FakeQueue> drivers;
  std::unique_ptr<BalloonDevice> device = BalloonDevice::create({.amount_mib = 0,
                                                                 .deflate_on_oom = false,
                                                                 .stats_polling_interval_s = 60000,
                                                                 .free_page_hinting = true,
                                                                 .free_page_reporting = true},
                                                                1, *loop, clock)
                                              .value();
};

/// Frame numbers inside [kPages, kKept), or far outside memory.
std::uint32_t frame_of(FuzzInput& input) {
  const std::uint8_t choice = input.byte();
  return (choice & 0x80U) != 0 ? 0x80000000U + input.dword() % 0x10000000U : kPagesFrame + choice % 64U;
}

void offer(Rig& rig, FuzzInput& input, std::size_t queue, std::uint16_t slot) {
  const GuestView guest(rig.memory);
  const std::uint64_t place = kBuffers + (queue * 8 + slot) * 0x1000;
  const bool ranges = queue >= 3;
  ChainBuilder builder(rig.drivers[queue], static_cast<std::uint16_t>(slot * 4));
  const std::uint8_t count = input.byte() % 4U;
  for (std::uint8_t index = 0; index < count; ++index) {
    const std::uint8_t shape = input.byte();
    if (ranges && (shape & 1U) != 0) {
      const std::uint64_t page = kPages + (shape >> 1U) % 32U * 0x1000U;
      builder.writable((shape & 0x80U) != 0 ? ~std::uint64_t{0} - input.word() : page, input.word() % 0x10000U);
      continue;
    }
    const std::uint32_t numbers = 1 + shape % 16U;
    for (std::uint32_t number = 0; number < numbers; ++number) {
      guest.put(place + index * 0x100U + number * 4U, queue == 3 ? input.byte() % 4U : frame_of(input), 4);
    }
    builder.add(place + index * 0x100U, (shape & 0x40U) != 0 ? input.byte() : numbers * 4,
                (shape & 0x20U) != 0 ? std::uint16_t{kWrite} : std::uint16_t{0});
  }
  if (count == 0) {
    builder.readable(place, 0);
  }
  rig.drivers[queue].offer(builder.build());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  silence_log();
  rig.start();
  FuzzInput input(data, size);
  const int needs_reset_before = rig.signals.needs_reset_count;
  std::array<std::size_t, kBalloonQueueKinds> offered{};
  for (std::uint16_t slot = 0; slot < 4; ++slot) {
    for (std::size_t queue = 0; queue < kBalloonQueueKinds; ++queue) {
      if ((input.byte() & 1U) != 0) {
        offer(rig, input, queue, slot);
        ++offered[queue];
      }
      if ((input.byte() & 7U) == 7U) {
        rig.device->quiesce();
        rig.device->resume();
      }
      while (rig.device->on_queue(queue)) {
      }
    }
  }
  for (std::size_t queue = 0; queue < kBalloonQueueKinds; ++queue) {
    const std::size_t held = rig.device->queue(queue)->in_flight_count() +
                             static_cast<std::size_t>(rig.device->queue(queue)->backlog_count());
    WISP_ASSERT(queue == 2 ? held <= 1 : held == 0 || queue == 2);
    WISP_ASSERT(rig.drivers[queue].take_all_used().size() + rig.device->queue(queue)->in_flight_count() ==
                    offered[queue] ||
                queue == 2);
  }
  WISP_ASSERT(rig.signals.needs_reset_count == needs_reset_before);
  WISP_ASSERT(GuestView(rig.memory).holds(kKept, 0x40000, 0x5a));
  return 0;
}
