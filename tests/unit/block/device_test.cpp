// The device between queue and backend: order, failure, pressure, life.
#include <catch2/catch.hpp>

#include <cerrno>

#include "tests/fakes/mmio_driver.h"
#include "tests/unit/block/block_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

std::uint64_t config_value(const BlockDevice& device, std::uint64_t offset, std::size_t width) {
  std::vector<std::byte> bytes(width, std::byte{0});
  device.read_config(offset, bytes);
  std::uint64_t value = 0;
  for (std::size_t index = width; index-- > 0;) {
    value = (value << 8U) | static_cast<std::uint64_t>(bytes[index]);
  }
  return value;
}

constexpr std::uint64_t kCommon =
    kFeatureVersion1 | kFeatureEventIndex | kFeatureIndirect | block_feature::kSegMax | block_feature::kSizeMax;

}  // namespace

TEST_CASE("flush is offered for Writeback only, read-only for read-only disks only") {
  CHECK(ScriptedRig({1, Access::ReadWrite}, CacheType::Unsafe).device->offered_features() == kCommon);
  CHECK(ScriptedRig({1, Access::ReadWrite}, CacheType::Writeback).device->offered_features() == (kCommon | (1U << 9U)));
  CHECK(ScriptedRig({1, Access::ReadOnly}, CacheType::Unsafe).device->offered_features() == (kCommon | (1U << 5U)));
}

TEST_CASE("the configuration space holds capacity and limits") {
  const ScriptedRig rig({0x1122334455, Access::ReadWrite});
  CHECK(config_value(*rig.device, 0, 8) == 0x1122334455);
  CHECK(config_value(*rig.device, 8, 4) == (1U << 20U));
  CHECK(config_value(*rig.device, 12, 4) == 126);
  CHECK(config_value(*rig.device, 14, 8) == 0);
  CHECK(config_value(*rig.device, UINT64_MAX, 8) == 0);
}

TEST_CASE("a write to the configuration space changes nothing and is counted") {
  ScriptedRig rig;
  const std::vector<std::byte> bytes(8, std::byte{0xff});
  rig.device->write_config(0, bytes);
  CHECK(config_value(*rig.device, 0, 8) == kDiskSectors);
  CHECK(rig.device->metrics().cfg_fails.total() == 1);
}

TEST_CASE("requests that complete out of order each get their own answer") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData + 0x200, 512);
  rig.driver.offer(6, kOut, 2, kData + 0x400, 512);
  rig.kick();
  REQUIRE(rig.backend->pending.size() == 3);
  rig.backend->finish(2);
  rig.backend->finish(0, EIO, 0);
  rig.backend->finish(0);
  rig.turn();
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{6, 1}, {0, 1}, {3, 513}});
  CHECK(rig.driver.status(0) == kIoErr);
  CHECK(rig.driver.status(3) == kOk);
  CHECK(rig.driver.status(6) == kOk);
}

TEST_CASE("a failed read says how many bytes it wrote before it failed") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 1024);
  rig.kick();
  rig.backend->finish(0, EIO, 512);
  rig.turn();
  CHECK(rig.driver.queue.take_used() == Used{0, 513});
  CHECK(rig.driver.status() == kIoErr);
}

TEST_CASE("a batch is submitted and interrupts once") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.backend->kicks == 1);
  rig.backend->finish_all();
  rig.turn();
  std::uint64_t signals = 0;
  REQUIRE(::read(rig.interrupt->event_fd().raw(), &signals, sizeof(signals)) == sizeof(signals));
  CHECK(signals == 1);
  CHECK(rig.interrupt->status() == 1);
}

TEST_CASE("a busy backend holds requests up, and its completions let them go on") {
  ScriptedRig rig;
  rig.backend->capacity = 1;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.backend->pending.size() == 1);
  CHECK(rig.device->metrics().io_engine_throttled_events.total() == 1);
  CHECK(rig.device->metrics().remaining_reqs_count.total() == 1);

  rig.backend->finish(0);
  rig.turn();
  CHECK(rig.signals.look_again_count == 1);
  rig.kick();
  rig.backend->finish(0);
  rig.turn();
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{0, 513}, {3, 513}});
}

TEST_CASE("a batch ends after kMaxBatchBytes and says that work is left") {
  const GuestRange ranges[] = {{GuestAddress(kLowStart), std::uint64_t{8} << 20U}};
  auto memory = GuestMemory::create(ranges, PageBacking::Normal);
  REQUIRE(memory.ok());
  ScriptedRig rig({1U << 20U, Access::ReadWrite});
  rig.device->reset();
  BlockDriver driver(memory.value());
  REQUIRE(rig.device->activate(activation_for(memory.value(), driver.queue, *rig.interrupt, kBlockFeatures)).ok());
  driver.offer(0, kIn, 0, 0x40000, kMaxBatchBytes);
  driver.offer(3, kIn, 0, 0x40000, 512);
  CHECK(rig.device->on_queue(0));
  CHECK(rig.backend->pending.size() == 1);
  CHECK_FALSE(rig.device->on_queue(0));
  CHECK(rig.backend->pending.size() == 2);
  rig.device->reset();
}

TEST_CASE("a request that arrives while the device switches kicks on is not lost") {
  ScriptedRig rig({kDiskSectors, Access::ReadWrite}, CacheType::Unsafe, kBlockFeatures | feature::kEventIndex);
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.driver.queue.avail_event() == 1);
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.driver.queue.avail_event() == 2);
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_all_used().size() == 2);
}

// Flush.

TEST_CASE("after a failed flush every flush fails until the device is reset") {
  ScriptedRig rig;
  rig.driver.offer(0, kFlushType, 0, 0, 0);
  rig.kick();
  rig.backend->finish(0, EIO);
  rig.turn();
  CHECK(rig.driver.status() == kIoErr);

  rig.driver.offer(3, kFlushType, 0, 0, 0);
  rig.kick();
  CHECK(rig.backend->pending.empty());
  CHECK(rig.driver.status(3) == kIoErr);
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{0, 1}, {3, 1}});

  rig.device->reset();
  rig.driver.queue.start_over();
  rig.activate(kBlockFeatures | block_feature::kFlush);
  CHECK(rig.run(rig.driver.build(6, kFlushType, 0, 0, 0)) == 1);
  CHECK(rig.driver.status(6) == kOk);
}

TEST_CASE("reads and writes go on after a failed flush") {
  ScriptedRig rig;
  rig.driver.offer(0, kFlushType, 0, 0, 0);
  rig.kick();
  rig.backend->finish(0, EIO);
  rig.turn();
  (void)rig.driver.queue.take_used();
  CHECK(rig.run(rig.driver.build(3, kOut, 0, kData, 512)) == 1);
  CHECK(rig.driver.status(3) == kOk);
}

TEST_CASE("a flush that was not offered is carried out all the same") {
  ScriptedRig rig({kDiskSectors, Access::ReadWrite}, CacheType::Unsafe, kBlockFeatures);
  CHECK(rig.run(rig.driver.build(0, kFlushType, 0, 0, 0)) == 1);
  CHECK(rig.driver.status() == kOk);
  CHECK(rig.device->metrics().flush_count.total() == 1);
}

TEST_CASE("writes are stable when flush is offered and the driver does not take it") {
  ScriptedRig rig({kDiskSectors, Access::ReadWrite}, CacheType::Writeback, kBlockFeatures);
  rig.driver.offer(0, kOut, 0, kData, 512);
  rig.kick();
  CHECK(rig.backend->pending[0].kind == IoKind::StableWrite);
}

TEST_CASE("writes are buffered when flush is negotiated, or not offered") {
  const auto cache = GENERATE(CacheType::Writeback, CacheType::Unsafe);
  ScriptedRig rig({kDiskSectors, Access::ReadWrite}, cache, kBlockFeatures | block_feature::kFlush);
  rig.driver.offer(0, kOut, 0, kData, 512);
  rig.kick();
  CHECK(rig.backend->pending[0].kind == IoKind::Write);
}

// Life.

TEST_CASE("a device whose queue is not ready cannot go live") {
  ScriptedRig rig;
  rig.device->reset();
  Activation activation{&rig.memory, rig.interrupt.get(), kBlockFeatures, {}};
  activation.queues.emplace_back();
  const Status activated = rig.device->activate(std::move(activation));
  REQUIRE_FALSE(activated.ok());
  CHECK(activated.error().text().find("'disk'") != std::string::npos);
  CHECK(rig.device->metrics().activate_fails.total() == 1);
  CHECK_FALSE(rig.device->on_queue(0));
}

TEST_CASE("a reset forgets requests in flight and touches the used ring no more") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  rig.device->reset();
  CHECK(rig.device->in_flight_count() == 0);
  CHECK(rig.backend->pending.empty());
  rig.turn();
  CHECK(rig.driver.queue.used_index() == 0);
  CHECK(rig.driver.status() == kUntouched);
  CHECK_FALSE(rig.device->on_queue(0));
}

TEST_CASE("a quiesced device takes nothing new, answers what is in flight and says when that is over") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  rig.device->quiesce();
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.device->in_flight_count() == 1);
  CHECK(rig.signals.drained_count == 0);

  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.device->in_flight_count() == 0);
  CHECK(rig.signals.drained_count == 1);
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{0, 513}});

  rig.device->resume();
  rig.kick();
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{3, 513}});
}

TEST_CASE("a broken ring stops the device once, and requests in flight are still answered") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  rig.driver.queue.offer(16);
  rig.kick();
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.signals.needs_reset_count == 1);
  CHECK(rig.backend->pending.size() == 1);
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{0, 513}});
  CHECK(rig.device->metrics().event_fails.total() == 1);
}

TEST_CASE("a broken device stays broken over pause and resume") {
  ScriptedRig rig;
  rig.driver.queue.offer(16);
  rig.kick();
  rig.device->quiesce();
  rig.device->resume();
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.backend->pending.empty());
  CHECK(rig.signals.needs_reset_count == 1);
}

TEST_CASE("a head offered again while it is in flight breaks the queue and is answered once") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  rig.driver.queue.offer(0);
  rig.kick();
  CHECK(rig.signals.needs_reset_count == 1);
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_all_used() == std::vector<Used>{{0, 513}});
}

TEST_CASE("the queue shows where it stands for a snapshot") {
  ScriptedRig rig;
  CHECK(rig.run(rig.driver.build(0, kIn, 0, kData, 512)) == 513);
  REQUIRE(rig.device->queue(0) != nullptr);
  CHECK(rig.device->queue(0)->next_available() == 1);
  CHECK(rig.device->queue(0)->next_used() == 1);
  rig.device->reset();
  CHECK(rig.device->queue(0) == nullptr);
}

TEST_CASE("a captured disk is refused when the file has another size") {
  ScriptedRig rig;
  StateWriter out;
  out.u64(kDiskSectors + 1);
  out.boolean(false);
  StateReader in("drive", out.data());
  CHECK_FALSE(rig.device->restore(in).ok());
}

// Metrics.

TEST_CASE("reads and writes are counted and timed") {
  ScriptedRig rig;
  rig.driver.offer(0, kIn, 0, kData, 1024);
  rig.driver.offer(3, kOut, 0, kData, 512);
  rig.kick();
  rig.clock.now += 7'000;
  rig.backend->finish_all();
  rig.turn();
  const BlockMetrics& metrics = rig.device->metrics();
  CHECK(metrics.read_count.total() == 1);
  CHECK(metrics.read_bytes.total() == 1024);
  CHECK(metrics.read_agg.sum_us.total() == 7);
  CHECK(metrics.write_count.total() == 1);
  CHECK(metrics.write_bytes.total() == 512);
  CHECK(metrics.write_agg.sum_us.total() == 7);
  CHECK(metrics.queue_event_count.total() == 1);
}

TEST_CASE("a kick without work is counted") {
  ScriptedRig rig;
  rig.kick();
  CHECK(rig.device->metrics().no_avail_buffer.total() == 1);
}

TEST_CASE("the metrics have their public names in their public order") {
  const BlockMetrics metrics;
  std::string names;
  for (const MetricField& field : block_metric_fields(metrics)) {
    names += std::string(field.name) + ' ';
  }
  CHECK(
      names ==
      "activate_fails cfg_fails no_avail_buffer event_fails execute_fails invalid_reqs_count flush_count "
      "queue_event_count rate_limiter_event_count update_count update_fails read_bytes write_bytes read_count "
      "write_count read_agg write_agg rate_limiter_throttled_events io_engine_throttled_events remaining_reqs_count ");
}
