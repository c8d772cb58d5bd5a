// Rate limits of a drive.
#include <catch2/catch.hpp>

#include "tests/unit/block/block_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kHourMs = 3'600'000;
constexpr TokenBucketConfig kOff{0, 0, {}};

RateLimiterConfig ops(std::uint64_t count, std::uint64_t refill_ms) {
  return {.bandwidth = {}, .ops = TokenBucketConfig{count, refill_ms, {}}};
}
RateLimiterConfig bandwidth(std::uint64_t bytes, std::uint64_t refill_ms) {
  return {.bandwidth = TokenBucketConfig{bytes, refill_ms, {}}, .ops = {}};
}

/// Turns until the limiter has called once more. A single wait is not enough: the kernel interrupts it when a ring of
/// an earlier test still has something to clean up in this thread.
void wait_for_limiter(EventLoop& loop, const BlockDevice& device) {
  const std::uint64_t before = device.metrics().rate_limiter_event_count.total();
  for (int turn = 0; turn < 100 && device.metrics().rate_limiter_event_count.total() == before; ++turn) {
    loop.run_once(5000);
  }
}

struct LimitedRig : ScriptedRig {
  explicit LimitedRig(const RateLimiterConfig& limits) { device->update_limits(limits); }
  std::size_t answered() {
    backend->finish_all();
    turn();
    return driver.queue.take_all_used().size();
  }
};

}  // namespace

TEST_CASE("every kind of request costs one operation") {
  LimitedRig rig(ops(5, kHourMs));
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kOut, 0, kData, 512);
  rig.driver.offer(6, kFlushType, 0, 0, 0);
  rig.driver.offer(9, kGetIdType, 0, kData, 20);
  rig.driver.offer(12, kDiscard, 0, kData, 512);
  rig.kick();
  CHECK(rig.answered() == 5);
  rig.driver.offer(0, kGetIdType, 0, kData, 20);
  rig.kick();
  CHECK(rig.answered() == 0);
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() == 1);
}

TEST_CASE("reads and writes cost their data's bytes, the others none") {
  LimitedRig rig(bandwidth(1024, kHourMs));
  rig.driver.offer(0, kFlushType, 0, 0, 0);
  rig.driver.offer(3, kIn, 0, kData, 512);
  rig.driver.offer(6, kOut, 0, kData, 512);
  rig.kick();
  CHECK(rig.answered() == 3);
  rig.driver.offer(0, kFlushType, 0, 0, 0);
  rig.driver.offer(3, kGetIdType, 0, kData, 20);
  rig.driver.offer(6, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.answered() == 2);
}

TEST_CASE("a throttled request waits in the ring and is served once when the limiter calls") {
  LimitedRig rig(ops(1, 1));
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData, 512);
  rig.kick();
  CHECK(rig.backend->pending.size() == 1);
  CHECK(rig.device->in_flight_count() == 1);
  CHECK(rig.device->metrics().remaining_reqs_count.total() == 1);

  wait_for_limiter(*rig.loop, *rig.device);
  CHECK(rig.device->metrics().rate_limiter_event_count.total() == 1);
  CHECK(rig.signals.look_again_count == 1);
  rig.clock.now += 1'000'000;
  rig.kick();
  CHECK(rig.backend->pending.size() == 2);
  CHECK(rig.answered() == 2);
}

TEST_CASE("kicks and completions while the limiter waits pop nothing") {
  LimitedRig rig(ops(1, kHourMs));
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData, 512);
  for (int count = 0; count < 100; ++count) {
    CHECK_FALSE(rig.device->on_queue(0));
  }
  CHECK(rig.answered() == 1);
  CHECK(rig.signals.look_again_count == 0);
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() == 1);
}

TEST_CASE("a request that a busy engine sends back is not charged") {
  LimitedRig rig(ops(2, kHourMs));
  rig.backend->capacity = 1;
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData, 512);
  rig.kick();
  rig.kick();
  CHECK(rig.backend->pending.size() == 1);
  CHECK(rig.answered() == 1);
  rig.kick();
  CHECK(rig.backend->pending.size() == 1);
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() == 0);
}

TEST_CASE("limits switched off let what waits go on at once") {
  LimitedRig rig(ops(1, kHourMs));
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData, 512);
  rig.kick();
  rig.device->update_limits({.bandwidth = {}, .ops = kOff});
  wait_for_limiter(*rig.loop, *rig.device);
  CHECK(rig.signals.look_again_count == 1);
  rig.kick();
  CHECK(rig.answered() == 2);
  CHECK(rig.device->limits() == RateLimiterConfig{});
}

TEST_CASE("a throttled request survives pause and resume, and a reset forgets it") {
  LimitedRig rig(ops(1, 1));
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.driver.offer(3, kIn, 1, kData, 512);
  rig.kick();
  rig.device->quiesce();
  CHECK(rig.answered() == 1);
  rig.clock.now += 1'000'000;
  rig.device->resume();
  rig.kick();
  CHECK(rig.answered() == 1);

  rig.driver.offer(6, kIn, 0, kData, 512);
  rig.kick();
  rig.device->reset();
  rig.driver.queue.start_over();
  rig.clock.now += 1'000'000;
  rig.activate(kBlockFeatures);
  rig.driver.offer(0, kIn, 0, kData, 512);
  rig.kick();
  CHECK(rig.answered() == 1);
}

TEST_CASE("a restored drive is limited and fails flushes as the captured one did") {
  LimitedRig before(ops(2, kHourMs));
  before.driver.offer(0, kFlushType, 0, 0, 0);
  before.driver.offer(3, kIn, 0, kData, 512);
  before.kick();
  before.backend->finish(0, EIO);
  before.backend->finish(0);
  before.turn();
  before.device->quiesce();
  StateWriter out;
  before.device->save(out);

  LimitedRig after(ops(2, kHourMs));
  after.device->reset();
  StateReader in("drive", out.data());
  REQUIRE(after.device->restore(in).ok());
  CHECK(in.finish().ok());
  after.activate(kBlockFeatures | block_feature::kFlush);
  after.driver.offer(0, kFlushType, 0, 0, 0);
  after.kick();
  CHECK(after.answered() == 0);
  after.device->update_limits({.bandwidth = {}, .ops = kOff});
  wait_for_limiter(*after.loop, *after.device);
  after.kick();
  CHECK(after.backend->pending.empty());
  CHECK(after.answered() == 1);
  CHECK(after.driver.status() == kIoErr);
}
