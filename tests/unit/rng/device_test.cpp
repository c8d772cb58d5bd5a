// The entropy device, seen from the driver.
#include <catch2/catch.hpp>

#include <set>
#include <string>

#include "tests/unit/rng/rng_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint32_t kCap = 64 * 1024;

const RateLimiterConfig kOneOpPerMs{.bandwidth = {}, .ops = TokenBucketConfig{1, 1, {}}};
const RateLimiterConfig kOneOpPerHour{.bandwidth = {}, .ops = TokenBucketConfig{1, 3'600'000, {}}};

}  // namespace

TEST_CASE("the entropy device has one queue, the common features and no configuration space") {
  const RngRig rig;
  CHECK(rig.device->type() == VirtioDeviceType::Entropy);
  CHECK(rig.device->queue_count() == 1);
  CHECK(rig.device->offered_features() == ((std::uint64_t{1} << 32U) | (std::uint64_t{3} << 28U)));
  std::array<std::byte, 8> config = {};
  rig.device->read_config(0, config);
  CHECK(config == std::array<std::byte, 8>{});
}

TEST_CASE("a request is filled whole and says so") {
  RngRig rig;
  rig.guest().fill(kBuffer, 128, 0);
  rig.offer(0, 64);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 64});
  CHECK(rig.guest().holds(kBuffer, 64, 0xa5));
  CHECK(rig.guest().holds(kBuffer + 64, 64, 0));
  CHECK(rig.device->metrics().entropy_event_count.total() == 1);
  CHECK(rig.device->metrics().entropy_bytes.total() == 64);
  CHECK(rig.interrupt->status() == 1);
}

TEST_CASE("the host's generator fills scattered buffers of any alignment, and nothing else") {
  RngRig rig;
  rig.adopt(RngDevice::create({}, *rig.loop, rig.clock));
  rig.guest().fill(kBuffer, 0x8000, 0);
  const auto head = ChainBuilder(rig.queue, 0)
                        .writable(kBuffer + 1, 1000)
                        .writable(kBuffer + 0x1001, 3)
                        .writable(kBuffer + 0x4000, 4097)
                        .build();
  rig.queue.offer(head);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 5100});
  CHECK(rig.guest().holds(kBuffer, 1, 0));
  CHECK(rig.guest().holds(kBuffer + 1001, 0x1000 - 1000, 0));
  CHECK(rig.guest().holds(kBuffer + 0x1004, 0x4000 - 0x1004, 0));
  CHECK(rig.guest().holds(kBuffer + 0x4000 + 4097, 0x1000, 0));
  const auto random = rig.guest().bytes(kBuffer + 0x4000, 4097);
  CHECK(std::set<std::byte>(random.begin(), random.end()).size() > 200);
  CHECK_FALSE(rig.guest().holds(kBuffer + 4000 / 8, 64, 0));
}

TEST_CASE("two requests to the host's generator differ") {
  RngRig rig;
  rig.adopt(RngDevice::create({}, *rig.loop, rig.clock));
  rig.offer(0, 32, kBuffer);
  rig.offer(1, 32, kBuffer + 32);
  rig.kick();
  CHECK(rig.guest().bytes(kBuffer, 32) != rig.guest().bytes(kBuffer + 32, 32));
}

TEST_CASE("written bytes are marked dirty in the monitor's own log") {
  RngRig rig;
  rig.memory.clear_dirty_logs();
  rig.adopt(RngDevice::create({}, *rig.loop, rig.clock));
  rig.offer(0, 4096, kBuffer);
  rig.kick();
  CHECK(rig.memory.dirty_log(0).is_dirty((kBuffer - kLowStart) / kPageSizeBytes));
  CHECK_FALSE(rig.memory.dirty_log(0).is_dirty((kBuffer - kLowStart) / kPageSizeBytes + 1));
}

// R-01 (Firecracker #5762, QEMU gitlab #3983): no request makes the host pay for its size.
TEST_CASE("R-01: a request for more than 64 KiB gets 64 KiB") {
  RngRig rig;
  rig.guest().fill(kBuffer, kCap + 0x1000, 0);
  rig.offer(0, kCap + 0x1000);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, kCap});
  CHECK(rig.guest().holds(kBuffer, kCap, 0xa5));
  CHECK(rig.guest().holds(kBuffer + kCap, 0x1000, 0));
}

TEST_CASE("R-01: a chain of large buffers over the same memory gets 64 KiB in all") {
  RngRig rig;
  ChainBuilder builder(rig.queue, 0);
  for (int count = 0; count < 16; ++count) {
    builder.writable(kBuffer, 0x20000);
  }
  rig.queue.offer(builder.build());
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, kCap});
  CHECK(rig.device->metrics().entropy_bytes.total() == kCap);
}

TEST_CASE("R-01: a turn makes a bounded number of bytes and says that there is more") {
  RngRig rig;
  for (std::uint16_t head = 0; head < 10; ++head) {
    rig.offer(head, kCap);
  }
  CHECK(rig.device->on_queue(0));
  CHECK(rig.queue.take_all_used().size() == kMaxEntropyBatchBytes / kCap);
  rig.kick();
  CHECK(rig.queue.take_all_used().size() == 10 - kMaxEntropyBatchBytes / kCap);
}

// R-03 (Linux hwrng CVE-2026-64456): the guest trusts the used length.
TEST_CASE("R-03: a source that stops half-way is reported with what was written") {
  RngRig rig;
  rig.source->limit = 10;
  rig.guest().fill(kBuffer, 64, 0);
  rig.offer(0, 64);
  rig.offer(1, 64);
  rig.kick();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{0, 10}, {1, 0}});
  CHECK(rig.guest().holds(kBuffer + 10, 54, 0));
  CHECK(rig.device->metrics().host_rng_fails.total() == 2);
  CHECK(rig.device->metrics().entropy_bytes.total() == 10);
}

TEST_CASE("a chain that is not a place for random bytes comes back empty and changes nothing") {
  RngRig rig;
  const int kind = GENERATE(0, 1, 2, 3, 4);
  ChainBuilder builder(rig.queue, 0);
  switch (kind) {
    case 0: builder.readable(kBuffer, 64); break;                                 // wrong direction
    case 1: builder.readable(kBuffer, 16).writable(kBuffer + 0x1000, 64); break;  // section 5.4.6.1
    case 2: builder.writable(kBuffer, 0); break;
    case 3: builder.writable(kLowStart + kLowBytes - 8, 64); break;  // half outside memory
    default: builder.writable(UINT64_MAX - 7, 64); break;            // wraps
  }
  rig.queue.offer(builder.build());
  rig.guest().fill(kBuffer, 0x2000, 0x11);
  rig.guest().fill(kLowStart + kLowBytes - 8, 8, 0x11);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 0});
  CHECK(rig.guest().holds(kBuffer, 0x2000, 0x11));
  CHECK(rig.guest().holds(kLowStart + kLowBytes - 8, 8, 0x11));
  CHECK(rig.device->metrics().entropy_event_fails.total() == 1);
  CHECK(rig.source->calls == 0);
  CHECK(rig.signals.needs_reset_count == 0);

  rig.offer(2, 16);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{2, 16});
}

TEST_CASE("a broken ring stops the entropy device until it is reset") {
  RngRig rig;
  rig.queue.offer(16);
  rig.kick();
  CHECK(rig.signals.needs_reset_count == 1);
  CHECK(rig.device->metrics().entropy_event_fails.total() == 1);
  rig.offer(0, 16);
  rig.kick();
  CHECK_FALSE(rig.queue.take_used().has_value());

  rig.device->reset();
  rig.activate();
  rig.offer(0, 16);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 16});
}

// Limits.

TEST_CASE("a request over the limit waits in the ring, unharmed, and goes on when the limiter calls") {
  RngRig rig(kOneOpPerMs);
  rig.offer(0, 16);
  rig.offer(1, 16);
  rig.kick();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{0, 16}});
  CHECK(rig.device->metrics().entropy_rate_limiter_throttled.total() == 1);
  CHECK(rig.device->queue(0)->in_flight_count() == 0);

  rig.wait_for_event();
  CHECK(rig.device->metrics().rate_limiter_event_count.total() == 1);
  CHECK(rig.signals.look_again_count == 1);
  rig.clock.now += 1'000'000;
  rig.kick();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{1, 16}});
}

TEST_CASE("kicks while the limiter waits are of no consequence") {
  RngRig rig(kOneOpPerHour);
  rig.offer(0, 16);
  rig.offer(1, 16);
  for (int count = 0; count < 100; ++count) {
    CHECK_FALSE(rig.device->on_queue(0));
  }
  CHECK(rig.source->calls == 1);
  CHECK(rig.device->metrics().entropy_rate_limiter_throttled.total() == 1);
}

TEST_CASE("the bandwidth is charged with what a request may get, not with what it offers") {
  RngRig rig({.bandwidth = TokenBucketConfig{2 * kCap, 3'600'000, {}}, .ops = {}});
  for (std::uint16_t head = 0; head < 3; ++head) {
    rig.offer(head, 0x20000);
  }
  rig.kick();
  CHECK(rig.queue.take_all_used().size() == 2);
}

TEST_CASE("a change of the limits lets a waiting request go on at once") {
  RngRig rig(kOneOpPerHour);
  rig.offer(0, 16);
  rig.offer(1, 16);
  rig.kick();
  rig.device->update_limits({.bandwidth = {}, .ops = TokenBucketConfig{0, 0, {}}});
  rig.wait_for_event();
  CHECK(rig.signals.look_again_count == 1);
  rig.kick();
  CHECK(rig.queue.take_all_used().size() == 2);
  CHECK(rig.device->limits() == RateLimiterConfig{});
}

// Life.

TEST_CASE("a quiesced entropy device serves nothing, and after resume everything") {
  RngRig rig;
  rig.device->quiesce();
  CHECK(rig.device->in_flight_count() == 0);
  rig.offer(0, 16);
  rig.kick();
  CHECK_FALSE(rig.queue.take_used().has_value());
  rig.device->resume();
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 16});
}

TEST_CASE("a request that waited for the limiter during a pause is not lost") {
  RngRig rig(kOneOpPerMs);
  rig.offer(0, 16);
  rig.offer(1, 16);
  rig.kick();
  rig.device->quiesce();
  rig.clock.now += 1'000'000;
  rig.device->resume();
  rig.kick();
  CHECK(rig.queue.take_all_used().size() == 2);
}

TEST_CASE("a restored entropy device is limited as the captured one was") {
  RngRig before(kOneOpPerHour);
  before.offer(0, 16);
  before.kick();
  before.device->quiesce();
  StateWriter out;
  before.device->save(out);

  RngRig after(kOneOpPerHour);
  after.device->reset();
  StateReader in("rng", out.data());
  REQUIRE(after.device->restore(in).ok());
  CHECK(in.finish().ok());
  after.queue.start_over();
  after.activate_at(0);
  after.offer(0, 16);
  after.kick();
  CHECK_FALSE(after.queue.take_used().has_value());
  CHECK(after.device->metrics().entropy_rate_limiter_throttled.total() == 1);
}

TEST_CASE("a captured entropy device cut short is refused") {
  RngRig rig(kOneOpPerHour);
  StateWriter out;
  rig.device->save(out);
  StateReader in("rng", out.data().first(out.size_bytes() - 1));
  CHECK_FALSE(rig.device->restore(in).ok());
}

TEST_CASE("the entropy metrics have their public names in their public order") {
  const EntropyMetrics metrics;
  std::string names;
  for (const MetricField& field : entropy_metric_fields(metrics)) {
    names += std::string(field.name) + ' ';
  }
  CHECK(names ==
        "activate_fails entropy_event_fails entropy_event_count entropy_bytes host_rng_fails "
        "entropy_rate_limiter_throttled rate_limiter_event_count ");
}

TEST_CASE("a ring that is full of requests is served in one turn, and kicks are wanted again") {
  RngRig rig;
  for (std::uint16_t head = 0; head < RngRig::kQueueSize; ++head) {
    rig.offer(head, 16, kBuffer + head * std::uint64_t{16});
  }
  CHECK_FALSE(rig.device->on_queue(0));
  CHECK(rig.queue.take_all_used().size() == RngRig::kQueueSize);
  CHECK(rig.queue.used_flags() == 0);
}
