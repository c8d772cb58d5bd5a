// The same stories over both engines and a real file.
#include <catch2/catch.hpp>

#include <sys/resource.h>

#include "tests/fakes/counted_new.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/fakes/mmio_driver.h"
#include "tests/unit/block/block_rig.h"
#include "virtio/block/backend_async.h"
#include "virtio/block/backend_sync.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::size_t kFileBytes = kDiskSectors * 512;

DriveConfig config_for(const TempFile& file, IoEngine engine) {
  DriveConfig config;
  config.drive_id = "disk";
  config.path_on_host = file.path();
  config.cache_type = CacheType::Writeback;
  config.io_engine = engine;
  return config;
}

DiskFile open_disk(const DriveConfig& config) {
  auto file = DiskFile::open(config);
  WISP_ASSERT(file.ok());
  return std::move(file).value();
}

/// A disk over a real file; run() waits for the engine.
struct FileRig {
  explicit FileRig(const DriveConfig& config) : FileRig(config, open_disk(config)) {}
  FileRig(const DriveConfig& config, DiskFile file) : driver(memory) {
    auto created = BlockDevice::create(config, std::move(file), *loop);
    WISP_ASSERT(created.ok());
    device = std::move(created).value();
    device->attach(signals);
    const std::uint64_t features = kBlockFeatures | block_feature::kFlush;
    WISP_ASSERT(device->activate(activation_for(memory, driver.queue, *interrupt, features)).ok());
  }
  void wait_for_used(std::uint16_t index) {
    while (driver.queue.used_index() != index) {
      loop->run_once(-1);
    }
  }
  Used run(std::uint16_t head) {
    driver.queue.offer(head);
    while (device->on_queue(0)) {
    }
    wait_for_used(driver.queue.available_index());
    return driver.queue.take_used().value();
  }

  GuestMemory memory = make_memory();
  std::unique_ptr<EventLoop> loop = make_loop();
  std::unique_ptr<InterruptLine> interrupt = make_interrupt();
  FakeSignals signals;
  BlockDriver driver;
  std::unique_ptr<BlockDevice> device;
};

}  // namespace

TEST_CASE("a read brings the file's bytes") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  file.put(1024, 1024, 0x61);
  FileRig rig(config_for(file, engine));
  CHECK(rig.run(rig.driver.build(0, kIn, 2, kData, 1024)) == Used{0, 1025});
  CHECK(rig.driver.status() == kOk);
  CHECK(rig.driver.queue.guest().holds(kData, 1024, 0x61));
}

TEST_CASE("a read is marked dirty in the monitor's own log") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  FileRig rig(config_for(file, engine));
  rig.memory.clear_dirty_logs();
  (void)rig.run(rig.driver.build(0, kIn, 0, kData, 4096));
  CHECK(rig.memory.dirty_log(0).is_dirty((kData - kLowStart) / kPageSizeBytes));
  CHECK_FALSE(rig.memory.dirty_log(0).is_dirty((kData - kLowStart) / kPageSizeBytes + 1));
}

TEST_CASE("a write changes its sectors of the file and no others") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  FileRig rig(config_for(file, engine));
  rig.driver.queue.guest().fill(kData, 1024, 0x62);
  CHECK(rig.run(rig.driver.build(0, kOut, 3, kData, 1024)) == Used{0, 1});
  CHECK(rig.driver.status() == kOk);
  CHECK(file.holds(0, 3 * 512, 0));
  CHECK(file.holds(3 * 512, 1024, 0x62));
  CHECK(file.holds(5 * 512, kFileBytes - 5 * 512, 0));
}

TEST_CASE("a flush after a write succeeds") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  FileRig rig(config_for(file, engine));
  CHECK(rig.run(rig.driver.build(0, kOut, 0, kData, 512)) == Used{0, 1});
  CHECK(rig.run(rig.driver.build(3, kFlushType, 0, 0, 0)) == Used{3, 1});
  CHECK(rig.driver.status(3) == kOk);
}

TEST_CASE("a stable write succeeds") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  FileRig rig(config_for(file, engine));
  rig.device->reset();
  rig.driver.queue.start_over();
  REQUIRE(rig.device->activate(activation_for(rig.memory, rig.driver.queue, *rig.interrupt, kBlockFeatures)).ok());
  rig.driver.queue.guest().fill(kData, 512, 0x63);
  CHECK(rig.run(rig.driver.build(0, kOut, 0, kData, 512)) == Used{0, 1});
  CHECK(rig.driver.status() == kOk);
  CHECK(file.holds(0, 512, 0x63));
}

TEST_CASE("data scattered over many buffers is put together") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  FileRig rig(config_for(file, engine));
  rig.driver.put_header(kHeader, kOut, 0);
  ChainBuilder builder(rig.driver.queue, 0);
  builder.readable(kHeader, 16);
  for (std::uint32_t index = 0; index < kMaxDataSegments; ++index) {
    rig.driver.queue.guest().fill(kData + index * 300, 256, static_cast<std::uint8_t>(index + 1));
    builder.readable(kData + index * 300, 256);
  }
  CHECK(rig.run(builder.writable(kStatus, 1).build_indirect(0x30000)) == Used{0, 1});
  CHECK(rig.driver.status() == kOk);
  CHECK(file.holds(0, 256, 1));
  CHECK(file.holds((kMaxDataSegments - 1) * 256, 256, kMaxDataSegments));
}

TEST_CASE("sixty-four requests at once all come back") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  GuestMemory memory = make_memory();
  FileRig rig(config_for(file, engine));
  rig.device->reset();
  BlockDriver driver(rig.memory, 256);
  REQUIRE(rig.device->activate(activation_for(rig.memory, driver.queue, *rig.interrupt, kBlockFeatures)).ok());
  for (std::uint16_t index = 0; index < 64; ++index) {
    driver.offer(static_cast<std::uint16_t>(index * 3), kIn, index, kData, 512);
  }
  while (rig.device->on_queue(0)) {
  }
  while (driver.queue.used_index() != 64) {
    rig.loop->run_once(-1);
  }
  CHECK(driver.queue.take_all_used().size() == 64);
  CHECK(rig.device->in_flight_count() == 0);
}

TEST_CASE("a file that shrinks makes reads beyond its end fail, and those before it work") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  file.put(0, kFileBytes, 0x64);
  FileRig rig(config_for(file, engine));
  file.shrink_to(2 * 512);
  const Used cut = rig.run(rig.driver.build(0, kIn, 1, kData, 1024));
  CHECK(cut == Used{0, 513});
  CHECK(rig.driver.status() == kIoErr);
  CHECK(rig.driver.queue.guest().holds(kData, 512, 0x64));
  CHECK(rig.driver.queue.guest().holds(kData + 512, 512, 0));
  CHECK(rig.run(rig.driver.build(3, kIn, 8, kData, 512)) == Used{3, 1});
  CHECK(rig.driver.status(3) == kIoErr);
  CHECK(rig.run(rig.driver.build(6, kIn, 0, kData, 512)) == Used{6, 513});
  CHECK(rig.driver.status(6) == kOk);
}

TEST_CASE("a write that the host refuses is an I/O error") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  DriveConfig config = config_for(file, engine);
  Fd read_only(::open(file.path().c_str(), O_RDONLY | O_CLOEXEC));
  auto disk = DiskFile::adopt(std::move(read_only), "disk", Access::ReadWrite);
  REQUIRE(disk.ok());
  FileRig rig(config, std::move(disk).value());
  CHECK(rig.run(rig.driver.build(0, kOut, 0, kData, 512)) == Used{0, 1});
  CHECK(rig.driver.status() == kIoErr);
  CHECK(file.holds(0, kFileBytes, 0));
}

TEST_CASE("a reset with requests in flight waits for the kernel and leaves the used ring alone") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  FileRig rig(config_for(file, engine));
  rig.device->quiesce();  // so that nothing is published before the reset
  rig.device->resume();
  rig.driver.offer(0, kIn, 0, kData, 8192);
  rig.driver.offer(3, kIn, 0, kData, 8192);
  while (rig.device->on_queue(0)) {
  }
  rig.device->reset();
  const auto image = rig.driver.queue.guest().image();
  CHECK(rig.device->in_flight_count() == 0);
  rig.loop->run_once(0);
  CHECK(rig.driver.queue.guest().image() == image);
}

TEST_CASE("an alignment that the file wants and the guest does not keep is made up for") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  file.put(512, 512, 0x65);
  Fd direct(::open(file.path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!direct.valid()) {
    WARN("this file system has no O_DIRECT");
    return;
  }
  auto disk = DiskFile::adopt(std::move(direct), "disk", Access::ReadWrite);
  REQUIRE(disk.ok());
  FileRig rig(config_for(file, engine), std::move(disk).value());
  CHECK(rig.run(rig.driver.build(0, kIn, 1, kData + 1, 512)) == Used{0, 513});
  CHECK(rig.driver.status() == kOk);
  CHECK(rig.driver.queue.guest().holds(kData + 1, 512, 0x65));

  rig.driver.queue.guest().fill(kData + 3, 1024, 0x66);
  CHECK(rig.run(rig.driver.build(3, kOut, 2, kData + 3, 1024)) == Used{3, 1});
  CHECK(rig.driver.status(3) == kOk);
  CHECK(file.holds(1024, 1024, 0x66));
}

TEST_CASE("the bounce buffer carries requests larger than itself") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  constexpr std::uint32_t kLarge = kBounceBytes + 4096;
  TempFile file(4 * kBounceBytes);
  file.put(0, kLarge, 0x67);
  Fd direct(::open(file.path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!direct.valid()) {
    WARN("this file system has no O_DIRECT");
    return;
  }
  auto disk = DiskFile::adopt(std::move(direct), "disk", Access::ReadWrite);
  REQUIRE(disk.ok());
  FileRig rig(config_for(file, engine), std::move(disk).value());
  CHECK(rig.run(rig.driver.build(0, kIn, 0, kHighStart + 1, kLarge)) == Used{0, kLarge + 1});
  CHECK(rig.driver.status() == kOk);
  CHECK(rig.driver.queue.guest().holds(kHighStart + 1, kLarge, 0x67));
}

TEST_CASE("a file opened with O_DIRECT whose end is in the middle of a page is a disk to its last whole sector") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  const std::size_t tail_bytes = GENERATE(0U, 100U);  // behind the last whole sector: invisible, and never written
  constexpr std::uint64_t kSectors = 21;              // two pages and five sectors
  TempFile file(kSectors * 512 + tail_bytes);
  file.put(16 * 512, 5 * 512 + tail_bytes, 0x68);
  Fd direct(::open(file.path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!direct.valid()) {
    WARN("this file system has no O_DIRECT");
    return;
  }
  auto disk = DiskFile::adopt(std::move(direct), "disk", Access::ReadWrite);
  REQUIRE(disk.ok());
  REQUIRE(disk.value().sector_count() == kSectors);
  FileRig rig(config_for(file, engine), std::move(disk).value());
  const GuestView guest = rig.driver.queue.guest();
  const std::uint64_t data = GENERATE(as<std::uint64_t>{}, kData, kData + 7);  // as the file wants it, and not

  CHECK(rig.run(rig.driver.build(0, kIn, 16, data, 5 * 512)) == Used{0, 5 * 512 + 1});
  CHECK(rig.driver.status() == kOk);
  CHECK(guest.holds(data, 5 * 512, 0x68));
  guest.fill(data, 512, 0x69);
  CHECK(rig.run(rig.driver.build(3, kOut, kSectors - 1, data, 512)) == Used{3, 1});
  CHECK(rig.driver.status(3) == kOk);
  CHECK(rig.run(rig.driver.build(6, kIn, kSectors - 1, data, 1024)) == Used{6, 1});  // one sector too far
  CHECK(rig.driver.status(6) == kIoErr);
  CHECK(file.holds((kSectors - 1) * 512, 512, 0x69));
  CHECK(file.holds(kSectors * 512, tail_bytes, 0x68));
  CHECK(file.size_bytes() == kSectors * 512 + tail_bytes);
}

TEST_CASE("the last, short page of a buffered file is read and written to its end, and the file does not grow") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  constexpr std::uint64_t kSectors = 9;
  TempFile file(kSectors * 512 + 77);
  file.put(8 * 512, 512 + 77, 0x70);
  FileRig rig(config_for(file, engine));
  CHECK(rig.run(rig.driver.build(0, kIn, 8, kData, 512)) == Used{0, 513});
  CHECK(rig.driver.queue.guest().holds(kData, 512, 0x70));
  rig.driver.queue.guest().fill(kData, 512, 0x71);
  CHECK(rig.run(rig.driver.build(3, kOut, 8, kData, 512)) == Used{3, 1});
  CHECK(rig.run(rig.driver.build(6, kOut, 9, kData, 512)) == Used{6, 1});
  CHECK(rig.driver.status(3) == kOk);
  CHECK(rig.driver.status(6) == kIoErr);
  CHECK(file.holds(8 * 512, 512, 0x71));
  CHECK(file.holds(9 * 512, 77, 0x70));
  CHECK(file.size_bytes() == kSectors * 512 + 77);
}

TEST_CASE("block: no allocation for any request, answered, refused, throttled or cut short, with either engine") {
  silence_log();
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  TempFile file(kFileBytes);
  DriveConfig config = config_for(file, engine);
  config.limits.ops = TokenBucketConfig{6, 1000, std::nullopt};
  FileRig rig(config);
  const auto count_round = [&] {
    const std::array<std::uint16_t, 5> heads = {
        rig.driver.build(0, kIn, 0, kData, 4096), rig.driver.build(3, kOut, 8, kData, 4096),
        rig.driver.build(6, kFlushType, 0, 0, 0), rig.driver.build(9, kGetIdType, 0, kData, 20),
        rig.driver.build(12, kIn, kDiskSectors, kData, 512)};
    std::ranges::for_each(heads, [&](std::uint16_t head) { rig.driver.queue.offer(head); });
    const std::uint64_t before = allocation_count;
    while (rig.device->on_queue(0)) {
    }
    for (int turn = 0; turn < 100 && rig.device->in_flight_count() > 0; ++turn) {
      rig.loop->run_once(100);
    }
    return allocation_count - before;
  };
  CHECK(count_round() == 0);
  CHECK(count_round() == 0);
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() > 0);
  CHECK(rig.device->metrics().read_count.total() > 0);
  CHECK(rig.device->metrics().execute_fails.total() > 0);
  CHECK(allocation_count > 0);  // the counter counts
}

TEST_CASE("a refused io_uring names the host setting and the way round it") {
  const Error refused = IoRing::refusal(EPERM);
  CHECK(refused.text().find("kernel.io_uring_disabled") != std::string::npos);
  CHECK(refused.text().find("Sync") != std::string::npos);
  CHECK(IoRing::refusal(ENOSYS).text().find("Sync") != std::string::npos);
  CHECK(IoRing::refusal(ENOMEM).text().find("RLIMIT_MEMLOCK") != std::string::npos);
}

TEST_CASE("an Async engine that cannot be had is an error that leaves nothing behind") {
  TempFile file(kFileBytes);
  const DriveConfig config = config_for(file, IoEngine::Async);
  DiskFile disk = open_disk(config);
  auto loop = make_loop();
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{3, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  auto created = BlockDevice::create(config, std::move(disk), *loop);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE_FALSE(created.ok());
  CHECK(created.error().text().find("RLIMIT_NOFILE") != std::string::npos);
}

TEST_CASE("a ring does nothing but what it was restricted to") {
  TempFile file(kFileBytes);
  Fd fd(::open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  auto ring = IoRing::create(fd.ref());
  REQUIRE(ring.ok());
  CHECK(ring.value()->queue_sync(7) == IoRing::Queued::Yes);
  ring.value()->submit();
  ring.value()->wait();
  std::array<IoRing::Completion, 2> done;
  REQUIRE(ring.value()->reap(done) == 1);
  CHECK(done[0].tag == 7);
  CHECK(done[0].result == 0);
  CHECK(ring.value()->in_flight_count() == 0);
}

TEST_CASE("a ring takes as many operations as it has room for and says when it is full") {
  TempFile file(kFileBytes);
  Fd fd(::open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  auto ring = IoRing::create(fd.ref());
  REQUIRE(ring.ok());
  std::uint32_t taken = 0;
  for (std::uint32_t index = 0; index < IoRing::kMaxInFlight; ++index) {
    taken += ring.value()->queue_sync(index) == IoRing::Queued::Yes ? 1U : 0U;
  }
  CHECK(taken == IoRing::kMaxInFlight);
  CHECK(ring.value()->queue_sync(999) == IoRing::Queued::RingFull);
}
