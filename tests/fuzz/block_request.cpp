// Block requests of arbitrary shape. The input describes requests: a header, and buffers with their direction, place
// and length. Each chain comes back exactly once; only a request that the disk can carry out is answered with success;
// the used length is what was written; no byte outside the writable buffers changes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/fakes/scripted_backend.h"
#include "virtio/block/device.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint16_t kQueueSize = 64;
constexpr std::uint64_t kSectors = 32;
constexpr std::uint64_t kHeader = 0x20000;
constexpr std::uint64_t kBuffers = 0x30000;
constexpr std::uint64_t kForbidden = kHighStart;  // no buffer ever lies here
constexpr std::uint16_t kMaxBuffers = 7;

struct Rig {
  Rig()
      : driver(memory, {}, kQueueSize),
        loop(std::move(EventLoop::create()).value()),
        interrupt(std::move(InterruptLine::create()).value()) {
    auto made = std::make_unique<ScriptedBackend>(kSectors * 512);
    backend = made.get();
    DiskProfile profile{"fuzz", {}, {kSectors, Access::ReadWrite}, CacheType::Writeback};
    device = std::move(BlockDevice::create(std::move(profile), std::move(made), *loop, clock)).value();
    device->attach(signals);
    GuestView(memory).fill(kForbidden, kHighBytes, 0x5a);
  }
  void start() {
    device->reset();
    driver.start_over();
    QueueConfig config(256);
    config.set_size(kQueueSize);
    config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                       static_cast<std::uint32_t>(driver.place().descriptors));
    config.set_address(QueuePart::AvailableRing, AddressHalf::Low,
                       static_cast<std::uint32_t>(driver.place().available));
    config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(driver.place().used));
    WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
    const std::uint64_t features = feature::kVersion1 | feature::kIndirectDescriptors;
    Activation activation{&memory, interrupt.get(), features, {}};
    activation.queues.push_back(config.activate(memory, features));
    WISP_ASSERT(device->activate(std::move(activation)).ok());
  }

  GuestMemory memory = make_memory();
  FakeQueue driver;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<InterruptLine> interrupt;
  fakes::FakeClock clock;
  FakeSignals signals;
  ScriptedBackend* backend = nullptr;
  std::unique_ptr<BlockDevice> device;
};

std::uint64_t place_of(std::uint8_t choice, std::uint16_t offset) {
  switch (choice % 6U) {
    case 0: return kHeader + offset % 64U;
    case 1:
    case 2: return kBuffers + offset;
    case 3: return kLowStart + kLowBytes - offset % 600U;  // towards the hole
    case 4: return 0;
    default: return ~std::uint64_t{0} - offset;
  }
}

/// One request from the input, made available.
void offer_request(Rig& rig, FuzzInput& input, std::uint16_t slot) {
  const GuestView guest(rig.memory);
  const std::uint64_t header = kHeader + slot * std::uint64_t{64};
  guest.put(header, input.byte() % 16U, 4);
  guest.put(header + 8, (input.byte() & 0x80U) != 0 ? input.take(8) : input.byte() % 40U, 8);
  ChainBuilder builder(rig.driver, static_cast<std::uint16_t>(slot * 8));
  builder.readable(header, (input.byte() & 7U) == 7 ? input.byte() : 16);
  const std::uint16_t count = input.byte() % kMaxBuffers;
  for (std::uint16_t index = 0; index < count; ++index) {
    const std::uint8_t choice = input.byte();
    const std::uint64_t address = place_of(choice, input.word());
    const std::uint32_t length = (choice & 0x40U) != 0 ? 1 : (choice & 0x20U) != 0 ? input.word() % 4096U : 512;
    builder.add(address, length, (choice & 0x80U) != 0 ? kWrite : std::uint16_t{0});
  }
  rig.driver.offer((input.byte() & 1U) != 0 ? builder.build_indirect(0x4f000 - slot * std::uint64_t{0x100})
                                            : builder.build());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  silence_log();
  rig.start();
  FuzzInput input(data, size);
  const std::uint16_t requests = 1 + input.byte() % 8U;
  for (std::uint16_t slot = 0; slot < requests; ++slot) {
    offer_request(rig, input, slot);
  }
  const std::uint64_t moved_before =
      rig.device->metrics().read_count.total() + rig.device->metrics().write_count.total();
  while (rig.device->on_queue(0)) {
  }
  const std::size_t accepted = rig.backend->pending.size();
  for (std::size_t index = 0; !rig.backend->pending.empty(); ++index) {
    rig.backend->finish(input.byte() % rig.backend->pending.size(), index % 7 == 6 ? 5 : 0);
  }
  rig.loop->run_once(0);

  WISP_ASSERT(rig.signals.needs_reset_count == 0);
  WISP_ASSERT(rig.device->in_flight_count() == 0);
  const auto answers = rig.driver.take_all_used();
  WISP_ASSERT(answers.size() == requests);
  WISP_ASSERT(rig.device->metrics().read_count.total() + rig.device->metrics().write_count.total() - moved_before <=
              accepted);
  WISP_ASSERT(GuestView(rig.memory).holds(kForbidden, kHighBytes, 0x5a));
  return 0;
}
