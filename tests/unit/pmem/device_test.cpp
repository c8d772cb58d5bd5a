// The persistent memory device, seen from the driver.
#include <catch2/catch.hpp>

#include <cerrno>
#include <string>

#include "tests/unit/pmem/pmem_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

std::uint64_t config_value(const PmemDevice& device, std::uint64_t offset) {
  std::array<std::byte, 8> bytes = {};
  device.read_config(offset, bytes);
  std::uint64_t value = 0;
  for (std::size_t index = bytes.size(); index-- > 0;) {
    value = (value << 8U) | static_cast<std::uint64_t>(bytes[index]);
  }
  return value;
}

}  // namespace

TEST_CASE("the configuration space holds start and size of the memory") {
  const PmemRig rig;
  CHECK(rig.device->type() == VirtioDeviceType::Pmem);
  CHECK(rig.device->queue_count() == 1);
  CHECK(rig.device->offered_features() == ((std::uint64_t{1} << 32U) | (std::uint64_t{3} << 28U)));
  CHECK(config_value(*rig.device, 0) == kPmemStart);
  CHECK(config_value(*rig.device, 8) == 4U << 20U);
  CHECK(config_value(*rig.device, 16) == 0);
  CHECK(config_value(*rig.device, UINT64_MAX - 3) == 0);
}

TEST_CASE("a write to pmem's configuration space changes nothing and is counted") {
  PmemRig rig;
  const std::array<std::byte, 8> bytes = {std::byte{0xff}};
  rig.device->write_config(0, bytes);
  CHECK(config_value(*rig.device, 0) == kPmemStart);
  CHECK(rig.device->metrics().cfg_fails.total() == 1);
}

TEST_CASE("a flush is answered after a sync") {
  PmemRig rig;
  rig.offer(0);
  rig.kick();
  CHECK(rig.file->syncs == 1);
  CHECK(rig.queue.take_used() == Used{0, 4});
  CHECK(rig.result(0) == kRespOk);
  CHECK(rig.interrupt->status() == 1);
  CHECK(rig.device->metrics().queue_event_count.total() == 1);
  CHECK(rig.device->metrics().event_fails.total() == 0);
}

TEST_CASE("flushes that wait together share one sync and are answered in order") {
  PmemRig rig;
  rig.offer(0);
  rig.offer(4);
  rig.offer(2);
  rig.kick();
  CHECK(rig.file->syncs == 1);
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{0, 4}, {4, 4}, {2, 4}});
  CHECK(rig.result(4) == kRespOk);
}

TEST_CASE("a flush that comes after an answer has a sync of its own") {
  PmemRig rig;
  rig.offer(0);
  rig.kick();
  rig.offer(2);
  rig.kick();
  CHECK(rig.file->syncs == 2);
}

TEST_CASE("a batch without a flush does not sync") {
  PmemRig rig;
  rig.kick();
  rig.offer(0, 1);
  rig.kick();
  CHECK(rig.file->syncs == 0);
}

TEST_CASE("a request of unknown type is answered with an error") {
  PmemRig rig;
  const std::uint32_t type = GENERATE(1U, 0x100U, 0xffffffffU);
  rig.offer(0, type);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 4});
  CHECK(rig.result(0) == kRespEio);
  CHECK(rig.file->syncs == 0);
  CHECK(rig.device->metrics().event_fails.total() == 1);
}

TEST_CASE("a request of the wrong shape comes back with length 0, and the flush beside it is answered") {
  PmemRig rig;
  const int kind = GENERATE(0, 1, 2, 3, 4, 5, 6);
  rig.guest().put(kTypes, 0, 8);
  ChainBuilder builder(rig.queue, 0);
  switch (kind) {
    case 0: builder.readable(kTypes, 4); break;
    case 1: builder.writable(kResults, 4); break;
    case 2: builder.readable(kTypes, 3).writable(kResults, 4); break;
    case 3: builder.readable(kTypes, 4).writable(kResults, 3); break;
    case 4: builder.readable(kTypes, 8).writable(kResults, 4); break;
    case 5: builder.readable(kTypes, 4).writable(kResults, 8); break;
    default: builder.readable(kTypes, 4).writable(kLowStart + kLowBytes - 2, 4); break;  // half outside memory
  }
  rig.queue.offer(builder.build());
  rig.offer(4);
  const auto around = rig.guest().bytes(kResults, 16);
  rig.kick();
  auto used = rig.queue.take_all_used();
  REQUIRE(used.size() == 2);
  CHECK((used[0] == Used{0, 0} || used[1] == Used{0, 0}));
  CHECK((used[0] == Used{4, 4} || used[1] == Used{4, 4}));
  CHECK(rig.guest().bytes(kResults, 16) == around);
  CHECK(rig.device->metrics().event_fails.total() == 1);
  CHECK(rig.signals.needs_reset_count == 0);
}

TEST_CASE("type and result may be cut into buffers anywhere") {
  PmemRig rig;
  rig.guest().put(kTypes, 0, 4);
  rig.queue.offer(ChainBuilder(rig.queue, 0)
                      .readable(kTypes, 1)
                      .readable(kTypes + 1, 3)
                      .writable(kResults, 2)
                      .writable(kResults + 2, 2)
                      .build());
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 4});
  CHECK(rig.result(0) == kRespOk);
}

TEST_CASE("a failed sync fails every flush of its batch, and every later one until the device is reset") {
  PmemRig rig;
  rig.file->failure = EIO;
  rig.offer(0);
  rig.offer(2);
  rig.kick();
  CHECK(rig.result(0) == kRespEio);
  CHECK(rig.result(2) == kRespEio);

  rig.file->failure = 0;
  rig.offer(4);
  rig.kick();
  CHECK(rig.result(4) == kRespEio);
  CHECK(rig.file->syncs == 1);
  CHECK(rig.queue.take_all_used().size() == 3);

  rig.device->reset();
  rig.activate();
  rig.offer(6);
  rig.kick();
  CHECK(rig.result(6) == kRespOk);
}

TEST_CASE("a flush of a read-only device succeeds without work and without cost") {
  PmemRig rig({.bandwidth = {}, .ops = TokenBucketConfig{1, 3'600'000, {}}});
  rig.file->mode = Access::ReadOnly;
  rig.offer(0);
  rig.offer(2);
  rig.kick();
  CHECK(rig.result(0) == kRespOk);
  CHECK(rig.result(2) == kRespOk);
  CHECK(rig.file->syncs == 0);
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() == 0);
}

TEST_CASE("a broken ring behind good flushes: they are answered, then the device waits for a reset") {
  PmemRig rig;
  rig.offer(0);
  rig.queue.offer(16);
  rig.kick();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{0, 4}});
  CHECK(rig.signals.needs_reset_count == 1);
  rig.offer(2);
  rig.kick();
  CHECK(rig.file->syncs == 1);

  rig.device->reset();
  rig.activate();
  rig.offer(4);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{4, 4});
}

TEST_CASE("a driver that floods the ring gets one sync in a turn") {
  PmemRig rig;
  for (std::uint16_t head = 0; head < 16; head = static_cast<std::uint16_t>(head + 2)) {
    rig.offer(head);
  }
  (void)rig.device->on_queue(0);
  CHECK(rig.file->syncs == 1);
  CHECK(rig.queue.take_all_used().size() == 8);
}

// Limits.

TEST_CASE("a flush over the limit waits in the ring and goes on when the limiter calls") {
  PmemRig rig({.bandwidth = {}, .ops = TokenBucketConfig{1, 1, {}}});
  rig.offer(0);
  rig.kick();
  rig.offer(2);
  rig.kick();
  rig.kick();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{0, 4}});
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() == 1);
  CHECK(rig.device->queue(0)->in_flight_count() == 0);

  rig.wait_for_event();
  CHECK(rig.device->metrics().rate_limiter_event_count.total() == 1);
  CHECK(rig.signals.look_again_count == 1);
  rig.clock.now += 1'000'000;
  rig.kick();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{2, 4}});
  CHECK(rig.result(2) == kRespOk);
}

TEST_CASE("a sync costs the size of the file in bytes, once for all flushes of its batch") {
  PmemRig rig({.bandwidth = TokenBucketConfig{3U << 20U, 1000, {}}, .ops = {}});
  rig.offer(0);
  rig.offer(2);
  rig.kick();
  CHECK(rig.queue.take_all_used().size() == 2);
  rig.offer(4);
  rig.kick();
  CHECK_FALSE(rig.queue.take_used().has_value());
  rig.device->update_limits({.bandwidth = TokenBucketConfig{0, 0, {}}, .ops = {}});
  rig.wait_for_event();
  rig.kick();
  CHECK(rig.queue.take_used() == Used{4, 4});
}

// Life.

TEST_CASE("a quiesced pmem device serves nothing, and after resume everything") {
  PmemRig rig;
  rig.device->quiesce();
  rig.offer(0);
  rig.kick();
  CHECK(rig.file->syncs == 0);
  CHECK(rig.device->in_flight_count() == 0);
  rig.device->resume();
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 4});
}

TEST_CASE("a restored pmem device keeps failing flushes") {
  PmemRig before;
  before.file->failure = EIO;
  before.offer(0);
  before.kick();
  StateWriter out;
  before.device->save(out);
  PmemRig after;
  after.device->reset();
  StateReader in("pmem", out.data());
  REQUIRE(after.device->restore(in).ok());
  CHECK(in.finish().ok());
  after.activate();
  after.offer(0);
  after.kick();
  CHECK(after.result(0) == kRespEio);
  CHECK(after.file->syncs == 0);
}

TEST_CASE("a captured pmem device is refused with another size, another place, or cut short") {
  PmemRig rig;
  const int kind = GENERATE(0, 1, 2);
  StateWriter out;
  out.u64(kind == 0 ? kPmemStart + kPmemAlignmentBytes : kPmemStart);
  out.u64(kind == 1 ? 6U << 20U : 4U << 20U);
  if (kind != 2) {
    out.boolean(false);
    for (int count = 0; count < 2 * 25; ++count) {
      out.u8(0);
    }
  }
  StateReader in("pmem", out.data());
  CHECK_FALSE(rig.device->restore(in).ok());
}

TEST_CASE("the pmem metrics have their public names in their public order") {
  const PmemMetrics metrics;
  std::string names;
  for (const MetricField& field : pmem_metric_fields(metrics)) {
    names += std::string(field.name) + ' ';
  }
  CHECK(names ==
        "activate_fails cfg_fails event_fails queue_event_count rate_limiter_throttled_events "
        "rate_limiter_event_count ");
}
