// A disk that is replaced under a running guest.
#include <catch2/catch.hpp>

#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "tests/unit/block/block_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::size_t kFileBytes = kDiskSectors * 512;

std::uint64_t capacity(const BlockDevice& device) {
  std::array<std::byte, 8> bytes = {};
  device.read_config(0, bytes);
  std::uint64_t value = 0;
  for (std::size_t index = bytes.size(); index-- > 0;) {
    value = (value << 8U) | static_cast<std::uint64_t>(bytes[index]);
  }
  return value;
}

/// A second disk of the scripted rig, and the way to put it in.
struct NewDisk {
  explicit NewDisk(std::uint64_t sectors, std::uint8_t content = 0x77)
      : backend(std::make_unique<ScriptedBackend>(sectors * 512)), raw(backend.get()), sector_count(sectors) {
    std::fill(raw->disk.begin(), raw->disk.end(), static_cast<std::byte>(content));
  }
  Status put_into(BlockDevice& device, Access access = Access::ReadWrite, char letter = 'n') {
    DeviceId id{};
    id.fill(static_cast<std::byte>(letter));
    return device.replace_medium({id, {sector_count, access}, std::move(backend)});
  }
  std::unique_ptr<ScriptedBackend> backend;
  ScriptedBackend* raw;
  std::uint64_t sector_count;
};

/// A disk over real files.
struct FileRig {
  FileRig(const TempFile& file, IoEngine engine, bool read_only = false) : driver(memory) {
    DriveConfig config;
    config.drive_id = "disk";
    config.path_on_host = file.path();
    config.cache_type = CacheType::Writeback;
    config.io_engine = engine;
    config.is_read_only = read_only;
    auto created = BlockDevice::create(config, *loop);
    WISP_ASSERT(created.ok());
    device = std::move(created).value();
    device->attach(signals);
    WISP_ASSERT(
        device->activate(activation_for(memory, driver.queue, *interrupt, kBlockFeatures | block_feature::kFlush))
            .ok());
  }
  Status replace(const std::string& path) {
    DrivePatch patch;
    patch.drive_id = "disk";
    patch.path_on_host = path;
    return device->update(patch);
  }
  Used run(std::uint16_t head) {
    driver.queue.offer(head);
    while (device->on_queue(0)) {
    }
    while (driver.queue.used_index() != driver.queue.available_index()) {
      loop->run_once(-1);
    }
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

TEST_CASE("an idle disk is replaced at once: capacity, identification and bytes are the new file's") {
  ScriptedRig rig;
  NewDisk next(kDiskSectors * 2);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.backend = next.raw;
  CHECK_FALSE(rig.device->replacement_pending());
  CHECK(capacity(*rig.device) == kDiskSectors * 2);
  CHECK(rig.signals.config_changed_count == 1);
  CHECK(rig.device->metrics().update_count.total() == 1);

  CHECK(rig.run(rig.driver.build(0, kIn, kDiskSectors + 1, kData, 512)) == 513);
  CHECK(rig.driver.queue.guest().holds(kData, 512, 0x77));
  rig.driver.offer(3, kGetIdType, 0, kData, 20);
  rig.kick();
  CHECK(rig.driver.queue.guest().holds(kData, 20, 'n'));
}

TEST_CASE("requests in flight end on the old file, what is offered meanwhile waits for the new one") {
  ScriptedRig rig;
  rig.driver.offer(0, kOut, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData + 512, 512);
  rig.kick();
  NewDisk next(kDiskSectors + 8);
  REQUIRE(next.put_into(*rig.device).ok());
  CHECK(rig.device->replacement_pending());
  CHECK(capacity(*rig.device) == kDiskSectors);
  CHECK(rig.signals.config_changed_count == 0);

  rig.driver.offer(6, kIn, kDiskSectors, kData + 1024, 512);
  rig.kick();
  CHECK(rig.backend->pending.size() == 2);
  CHECK(next.raw->pending.empty());

  rig.backend->finish(1);
  rig.turn();
  CHECK(rig.device->replacement_pending());
  rig.backend->finish(0);
  rig.turn();
  CHECK_FALSE(rig.device->replacement_pending());
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{3, 513}, {0, 1}});
  CHECK(rig.driver.queue.guest().holds(kData + 512, 512, 0));
  CHECK(std::all_of(next.raw->disk.begin(), next.raw->disk.end(),
                    [](std::byte each) { return each == std::byte{0x77}; }));
  CHECK(capacity(*rig.device) == kDiskSectors + 8);
  CHECK(rig.signals.config_changed_count == 1);
  CHECK(rig.signals.look_again_count == 1);

  rig.kick();
  next.raw->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{6, 513}});
  CHECK(rig.driver.status(6) == kOk);
  CHECK(rig.driver.queue.guest().holds(kData + 1024, 512, 0x77));
}

TEST_CASE("a smaller file: sectors behind its end are refused") {
  ScriptedRig rig;
  NewDisk next(4);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.driver.offer(0, kIn, 4, kData, 512);
  rig.kick();
  CHECK(rig.driver.status() == kIoErr);
  CHECK(next.raw->pending.empty());
}

TEST_CASE("the last of several replacements wins") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  NewDisk second(8);
  NewDisk third(16, 0x33);
  REQUIRE(second.put_into(*rig.device).ok());
  REQUIRE(third.put_into(*rig.device).ok());
  rig.backend->finish_all();
  rig.turn();
  CHECK(capacity(*rig.device) == 16);
  CHECK(rig.signals.config_changed_count == 1);
}

TEST_CASE("a disk is replaced while quiesced, once it is idle, and before it says so") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  rig.device->quiesce();
  NewDisk next(16);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.driver.offer(3, kIn, 15, kData, 512);
  rig.backend->finish_all();
  rig.turn();
  CHECK(capacity(*rig.device) == 16);
  CHECK(rig.signals.drained_count == 1);
  CHECK(rig.signals.look_again_count == 0);
  rig.device->resume();
  rig.kick();
  CHECK(next.raw->pending.size() == 1);
}

TEST_CASE("a disk is replaced while the device is inactive") {
  ScriptedRig rig;
  rig.device->reset();
  NewDisk next(16);
  REQUIRE(next.put_into(*rig.device).ok());
  CHECK(capacity(*rig.device) == 16);
  rig.driver.queue.start_over();
  rig.activate(kBlockFeatures);
  rig.backend = next.raw;
  CHECK(rig.run(rig.driver.build(0, kIn, 15, kData, 512)) == 513);
}

TEST_CASE("a reset does not lose a replacement that waited") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  NewDisk next(16);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.device->reset();
  CHECK_FALSE(rig.device->replacement_pending());
  CHECK(capacity(*rig.device) == 16);
}

TEST_CASE("a device that ends with a replacement waiting tells nobody") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  NewDisk next(16);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.device.reset();
  CHECK(rig.signals.config_changed_count == 0);
}

TEST_CASE("a broken device is replaced too, and stays broken until the reset") {
  ScriptedRig rig;
  rig.driver.queue.offer(16);
  rig.kick();
  NewDisk next(16);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  CHECK(next.raw->pending.empty());
  CHECK(capacity(*rig.device) == 16);
}

TEST_CASE("flushes that failed on the old file do not fail on the new one") {
  ScriptedRig rig;
  rig.driver.offer(0, kFlushType, 0, 0, 0);
  rig.kick();
  rig.backend->finish(0, EIO);
  rig.turn();
  (void)rig.driver.queue.take_used();
  NewDisk next(16);
  REQUIRE(next.put_into(*rig.device).ok());
  rig.backend = next.raw;
  CHECK(rig.run(rig.driver.build(3, kFlushType, 0, 0, 0)) == 1);
  CHECK(rig.driver.status(3) == kOk);
}

TEST_CASE("flushes that failed go on failing when the same file is opened again") {
  ScriptedRig rig;
  rig.driver.offer(0, kFlushType, 0, 0, 0);
  rig.kick();
  rig.backend->finish(0, EIO);
  rig.turn();
  NewDisk same(kDiskSectors * 2);
  REQUIRE(same.put_into(*rig.device, Access::ReadWrite, 'd').ok());
  rig.driver.offer(3, kFlushType, 0, 0, 0);
  rig.kick();
  CHECK(same.raw->pending.empty());
  CHECK(rig.driver.status(3) == kIoErr);
  CHECK(capacity(*rig.device) == kDiskSectors * 2);
}

TEST_CASE("a replacement with another access is refused and changes nothing") {
  ScriptedRig rig;
  NewDisk next(16);
  const Status refused = next.put_into(*rig.device, Access::ReadOnly);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text().find("drive 'disk'") != std::string::npos);
  CHECK(capacity(*rig.device) == kDiskSectors);
  CHECK(rig.signals.config_changed_count == 0);
  CHECK(rig.device->metrics().update_fails.total() == 1);
  CHECK(rig.run(rig.driver.build(0, kIn, kDiskSectors - 1, kData, 512)) == 513);
}

TEST_CASE("a processor that reads the capacity meanwhile sees the old one or the new one") {
  ScriptedRig rig({0x1111111111111111, Access::ReadWrite});
  std::atomic<bool> stop = false;
  std::atomic<bool> torn = false;
  std::thread processor([&] {
    while (!stop) {
      const std::uint64_t seen = capacity(*rig.device);
      torn = torn || (seen != 0x1111111111111111 && seen != 0x2222222222222222);
    }
  });
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t sectors = round % 2 == 0 ? 0x2222222222222222 : 0x1111111111111111;
    REQUIRE(
        rig.device->replace_medium({{}, {sectors, Access::ReadWrite}, std::make_unique<ScriptedBackend>(512)}).ok());
  }
  stop = true;
  processor.join();
  CHECK_FALSE(torn);
}

// Real files.

TEST_CASE("a PATCH with another path: reads and writes go to the new file, with either engine") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  const TempFile old_file(kFileBytes);
  const TempFile new_file(2 * kFileBytes);
  new_file.put(kFileBytes, 512, 0x6e);
  FileRig rig(old_file, engine);
  CHECK(rig.run(rig.driver.build(0, kOut, 0, kData, 512)) == Used{0, 1});

  REQUIRE(rig.replace(new_file.path()).ok());
  CHECK(capacity(*rig.device) == 2 * kDiskSectors);
  CHECK(rig.signals.config_changed_count == 1);
  CHECK(rig.run(rig.driver.build(3, kIn, kDiskSectors, kData, 512)) == Used{3, 513});
  CHECK(rig.driver.queue.guest().holds(kData, 512, 0x6e));
  rig.driver.queue.guest().fill(kData, 512, 0x6f);
  CHECK(rig.run(rig.driver.build(6, kOut, 1, kData, 512)) == Used{6, 1});
  CHECK(rig.run(rig.driver.build(9, kFlushType, 0, 0, 0)) == Used{9, 1});
  CHECK(rig.driver.status(9) == kOk);
  CHECK(new_file.holds(512, 512, 0x6f));
  CHECK(old_file.holds(512, 512, 0));
}

TEST_CASE("a PATCH with the same path after the file grew shows its new size") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  const TempFile file(kFileBytes);
  FileRig rig(file, engine);
  file.shrink_to(3 * kFileBytes);
  CHECK(capacity(*rig.device) == kDiskSectors);
  REQUIRE(rig.replace(file.path()).ok());
  CHECK(capacity(*rig.device) == 3 * kDiskSectors);
  CHECK(rig.run(rig.driver.build(0, kIn, 3 * kDiskSectors - 1, kData, 512)) == Used{0, 513});
}

TEST_CASE("replacing a disk a hundred times keeps neither descriptors nor rings") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  const TempFile file(kFileBytes);
  FileRig rig(file, engine);
  const auto open_files = [] {
    const std::filesystem::directory_iterator entries("/proc/self/fd");
    return std::distance(begin(entries), end(entries));
  };
  const auto before = open_files();
  for (int round = 0; round < 100; ++round) {
    REQUIRE(rig.replace(file.path()).ok());
  }
  CHECK(open_files() == before);
  CHECK(rig.run(rig.driver.build(0, kIn, 0, kData, 512)) == Used{0, 513});
}

TEST_CASE("a PATCH with a path that cannot be opened changes nothing and is counted") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  const TempFile file(kFileBytes);
  FileRig rig(file, engine);
  const std::string path = GENERATE(std::string("/tmp/wisp-no-such-file"), std::string("/tmp"));
  DrivePatch patch;
  patch.path_on_host = path;
  patch.limits = RateLimiterPatch{.bandwidth = {}, .ops = TokenBucketConfig{1, 1000, {}}};
  const Status refused = rig.device->update(patch);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text().find(path) != std::string::npos);
  CHECK(rig.device->metrics().update_fails.total() == 1);
  CHECK(rig.device->limits() == RateLimiterConfig{});
  CHECK(capacity(*rig.device) == kDiskSectors);
  CHECK(rig.signals.config_changed_count == 0);
  CHECK(rig.run(rig.driver.build(0, kIn, 0, kData, 512)) == Used{0, 513});
}

TEST_CASE("a PATCH without descriptors to spare changes nothing") {
  const auto engine = GENERATE(IoEngine::Sync, IoEngine::Async);
  const TempFile file(kFileBytes);
  FileRig rig(file, engine);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int next_free = ::dup(0);
  ::close(next_free);
  // Sync needs one descriptor, Async three: one less than that is left.
  const rlimit tight{static_cast<rlim_t>(next_free + (engine == IoEngine::Sync ? 0 : 2)), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  const Status refused = rig.replace(file.path());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE_FALSE(refused.ok());
  CHECK(rig.device->metrics().update_fails.total() == 1);
  CHECK(rig.run(rig.driver.build(0, kIn, 0, kData, 512)) == Used{0, 513});
}

TEST_CASE("a PATCH of a read-only drive opens the new file read-only") {
  const TempFile old_file(kFileBytes);
  const TempFile new_file(kFileBytes);
  FileRig rig(old_file, IoEngine::Sync, true);
  REQUIRE(rig.replace(new_file.path()).ok());
  CHECK(rig.run(rig.driver.build(0, kOut, 0, kData, 512)) == Used{0, 1});
  CHECK(rig.driver.status() == kIoErr);
  CHECK(new_file.holds(0, kFileBytes, 0));
}

TEST_CASE("a PATCH with limits only leaves the disk alone") {
  const TempFile file(kFileBytes);
  FileRig rig(file, IoEngine::Sync);
  DrivePatch patch;
  patch.limits = RateLimiterPatch{.bandwidth = TokenBucketConfig{512, 1000, {}}, .ops = {}};
  REQUIRE(rig.device->update(patch).ok());
  CHECK(rig.device->limits() == *patch.limits);
  CHECK(rig.signals.config_changed_count == 0);
}
