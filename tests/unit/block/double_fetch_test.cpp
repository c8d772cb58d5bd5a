// A second processor of the guest rewrites rings, descriptors, tables and headers as fast as it can while the disk
// works on them, through the whole stack: registers, transport, queue, device, file. Whatever happens inside the
// guest's own memory, nothing outside the offered buffers changes, the monitor goes on, and a reset brings the device
// back.
#include <catch2/catch.hpp>

#include <atomic>
#include <random>
#include <thread>

#include "tests/fakes/mmio_driver.h"
#include "tests/unit/block/block_rig.h"
#include "virtio/core/mmio_transport.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kTable = 0x30000;
constexpr std::uint64_t kSafeStart = kHighStart;  // no descriptor, not even a flipped one, ever points here
constexpr int kRounds = 60;

/// Flips between two good and one bad version of everything that the device reads.
void attack(const GuestMemory& memory, const std::atomic<bool>& stop) {
  const FakeQueue queue(memory, {}, 16);
  const GuestView guest(memory);
  std::minstd_rand random(7);
  const std::uint64_t addresses[] = {kHeader, kData, kStatus, 0, UINT64_MAX - 8, kLowStart + kLowBytes - 4};
  while (!stop.load(std::memory_order_relaxed)) {
    const auto pick = static_cast<std::uint32_t>(random());
    const auto index = static_cast<std::uint16_t>(pick % 16);
    const std::uint64_t address = addresses[(pick >> 4U) % std::size(addresses)];
    const std::uint32_t length = (pick & 0x400U) != 0 ? 512 : 16;
    queue.put_descriptor(index, address, length, static_cast<std::uint16_t>((pick >> 8U) % 8),
                         static_cast<std::uint16_t>((pick >> 12U) % 18));
    queue.put_descriptor_at(kTable + index * std::uint64_t{16}, address, length,
                            static_cast<std::uint16_t>((pick >> 10U) % 4),
                            static_cast<std::uint16_t>((pick >> 14U) % 18));
    guest.put(kHeader, (pick >> 6U) % 16, 4);
    guest.put(kHeader + 8, (pick >> 3U) % 128, 8);
  }
}

struct MachineRig {
  explicit MachineRig(const DriveConfig& config) {
    auto created = loop.call([&]() -> Result<std::unique_ptr<MmioTransport>> {
      auto device = BlockDevice::create(config, loop.loop());
      WISP_ASSERT(device.ok());
      return MmioTransport::create(std::move(device).value(), memory, loop.loop());
    });
    WISP_ASSERT(created.ok());
    transport = std::move(created).value();
  }
  ~MachineRig() {
    loop.call([this] { transport.reset(); });
  }
  MachineRig(const MachineRig&) = delete;
  MachineRig& operator=(const MachineRig&) = delete;

  GuestMemory memory = make_memory();
  LoopThread loop;
  std::unique_ptr<MmioTransport> transport;
};

/// One life of the device: live, kicked with the attacker's rings, reset.
void live_and_reset(MachineRig& rig, const MmioDriver& driver, std::uint64_t features) {
  BlockDriver block(rig.memory);
  block.queue.start_over();
  driver.negotiate(features);
  driver.set_up_queue(0, {}, 16);
  driver.go_live();
  for (std::uint16_t head = 0; head < 12; ++head) {
    block.put_header(kHeader, kIn, head);
    block.queue.offer(head);
    driver.notify(0);
  }
  rig.loop.settle();
  driver.reset();
}

}  // namespace

TEST_CASE("a second processor that rewrites rings and headers harms nobody outside, and a reset heals the device") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kDiskSectors * 512);
  DriveConfig config;
  config.drive_id = "disk";
  config.path_on_host = file.path();
  config.io_engine = engine;
  MachineRig rig(config);
  const MmioDriver driver(*rig.transport);
  const GuestView guest(rig.memory);
  guest.fill(kSafeStart, kHighBytes, 0x99);

  std::atomic<bool> stop = false;
  std::thread attacker([&] { attack(rig.memory, stop); });
  for (int round = 0; round < kRounds; ++round) {
    live_and_reset(rig, driver, kFeatureVersion1 | kFeatureIndirect | (round % 2 == 0 ? kFeatureEventIndex : 0));
  }
  stop = true;
  attacker.join();
  CHECK(guest.holds(kSafeStart, kHighBytes, 0x99));
  CHECK(file.size_bytes() == kDiskSectors * 512);

  BlockDriver block(rig.memory);
  block.queue.start_over();
  driver.negotiate(kFeatureVersion1);
  driver.set_up_queue(0, {}, 16);
  driver.go_live();
  block.offer(0, kIn, 0, kData, 512);
  driver.notify(0);
  wait_for(rig.transport->interrupt_event());
  while (block.queue.used_index() != 1) {
    rig.loop.settle();
  }
  CHECK(block.queue.take_used() == Used{0, 513});
  CHECK(block.status() == kOk);
  CHECK(driver.status() == 0xf);
}
