#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <random>

#include "tests/fakes/fake_clock.h"
#include "virtio/limit/rate_limiter.h"

namespace wisp {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kSecond = 1000 * kMs;

struct Rig {
  explicit Rig(const RateLimiterConfig& config)
      : limiter(RateLimiter::create(config, *loop, clock, [this] { ++calls; }).value()) {}
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  fakes::FakeClock clock;
  int calls = 0;
  std::unique_ptr<RateLimiter> limiter;
};

/// Tokens that pass within `duration_ns` when a sender always has `each` ready and waits as long as it is told.
std::uint64_t pass_for(TokenBucket& bucket, std::uint64_t each, std::uint64_t start_ns, std::uint64_t duration_ns) {
  std::uint64_t passed = 0;
  std::uint64_t now_ns = start_ns;
  while (true) {
    const std::uint64_t wait_ns = bucket.wait_ns(each, now_ns);
    if (now_ns + wait_ns > start_ns + duration_ns) {
      return passed;
    }
    now_ns += wait_ns;
    bucket.charge(each);
    passed += each;
  }
}

}  // namespace

TEST_CASE("a bucket starts full and refuses what is not there") {
  TokenBucket bucket({.size = 10, .refill_time_ms = 1000, .one_time_burst = {}}, 0);
  CHECK(bucket.has(10, 0));
  bucket.charge(10);
  CHECK_FALSE(bucket.has(1, 0));
  CHECK(bucket.wait_ns(1, 0) == 100 * kMs);
  CHECK_FALSE(bucket.has(1, 100 * kMs - 1));
  CHECK(bucket.has(1, 100 * kMs));
}

TEST_CASE("the burst is spent first and never comes back") {
  TokenBucket bucket({.size = 10, .refill_time_ms = 1000, .one_time_burst = 5}, 0);
  CHECK(bucket.has(15, 0));
  bucket.charge(15);
  CHECK_FALSE(bucket.has(1, 0));
  CHECK(bucket.has(10, 3600 * kSecond));
  bucket.charge(10);
  CHECK_FALSE(bucket.has(1, 3600 * kSecond));
}

TEST_CASE("a bucket holds its rate within 2 percent over ten seconds, whatever the request size") {
  const auto [size, refill_ms, each] = GENERATE(table<std::uint64_t, std::uint64_t, std::uint64_t>(
      {{1000, 1000, 1}, {1'000'000, 100, 4096}, {7, 13, 1}, {1'000'000, 1000, 3'000'000}, {100'000'000, 997, 65536}}));
  TokenBucket bucket({.size = size, .refill_time_ms = refill_ms, .one_time_burst = {}}, kSecond);
  bucket.charge(size);  // what was saved up is gone
  const std::uint64_t passed = pass_for(bucket, each, kSecond, 10 * kSecond);
  const double expected = static_cast<double>(size) * 10'000.0 / static_cast<double>(refill_ms);
  CHECK(static_cast<double>(passed) <= expected + static_cast<double>(std::max(size, each)));
  CHECK(static_cast<double>(passed) == Approx(expected).epsilon(0.02).margin(static_cast<double>(each)));
}

TEST_CASE("a demand larger than the bucket passes when the bucket is full and is paid for afterwards") {
  TokenBucket bucket({.size = 10, .refill_time_ms = 1000, .one_time_burst = {}}, 0);
  CHECK(bucket.has(35, 0));
  bucket.charge(35);
  CHECK(bucket.wait_ns(1, 0) == 2600 * kMs);
}

TEST_CASE("a bucket with a zero lets everything pass") {
  const auto [size, refill] =
      GENERATE(table<std::uint64_t, std::uint64_t>({{0, 1000}, {10, 0}, {0, 0}, {10, kMaxRefillTimeMs + 1}}));
  TokenBucket bucket({.size = size, .refill_time_ms = refill, .one_time_burst = 1}, 0);
  bucket.charge(std::numeric_limits<std::uint64_t>::max());
  CHECK(bucket.wait_ns(std::numeric_limits<std::uint64_t>::max(), 0) == 0);
}

TEST_CASE("the largest values neither wrap nor wait for ever less than they should") {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  TokenBucket bucket({.size = kMax, .refill_time_ms = kMaxRefillTimeMs, .one_time_burst = kMax}, 0);
  CHECK(bucket.has(kMax, 0));
  bucket.charge(kMax);
  bucket.charge(kMax);
  CHECK(bucket.wait_ns(kMax, kMax) == 0);
  bucket.charge(kMax);
  CHECK(bucket.wait_ns(1, kMax) > 0);
}

TEST_CASE("a clock that goes back gives no tokens") {
  TokenBucket bucket({.size = 10, .refill_time_ms = 1000, .one_time_burst = {}}, kSecond);
  bucket.charge(10);
  CHECK_FALSE(bucket.has(1, 0));
}

TEST_CASE("both buckets are charged or neither") {
  Rig rig({.bandwidth = TokenBucketConfig{100, 1000, {}}, .ops = TokenBucketConfig{1, 1000, {}}});
  CHECK(rig.limiter->take({.ops = 1, .bytes = 40}));
  CHECK_FALSE(rig.limiter->take({.ops = 1, .bytes = 40}));
  rig.clock.now += kSecond;
  CHECK(rig.limiter->take({.ops = 1, .bytes = 100}));
}

TEST_CASE("a refused demand is called back, once") {
  Rig rig({.bandwidth = {}, .ops = TokenBucketConfig{1, 1, {}}});
  CHECK(rig.limiter->take({.ops = 1, .bytes = 0}));
  CHECK_FALSE(rig.limiter->take({.ops = 1, .bytes = 0}));
  CHECK_FALSE(rig.limiter->take({.ops = 1, .bytes = 0}));
  rig.loop->run_once(5000);
  rig.loop->run_once(0);
  CHECK(rig.calls == 1);
}

TEST_CASE("without a refused demand nobody is woken") {
  Rig rig({.bandwidth = {}, .ops = TokenBucketConfig{1000, 1, {}}});
  CHECK(rig.limiter->take({.ops = 1, .bytes = 1}));
  rig.loop->run_once(20);
  CHECK(rig.calls == 0);
}

TEST_CASE("a change leaves the absent bucket alone and wakes who waits") {
  Rig rig({.bandwidth = TokenBucketConfig{100, 1000, {}}, .ops = TokenBucketConfig{1, 1'000'000, {}}});
  CHECK(rig.limiter->take({.ops = 1, .bytes = 100}));
  CHECK_FALSE(rig.limiter->take({.ops = 1, .bytes = 0}));
  rig.limiter->update({.bandwidth = {}, .ops = TokenBucketConfig{0, 0, {}}});
  rig.loop->run_once(5000);
  CHECK(rig.calls == 1);
  CHECK(rig.limiter->take({.ops = 1, .bytes = 0}));
  CHECK_FALSE(rig.limiter->take({.ops = 0, .bytes = 1}));
  CHECK(rig.limiter->config().bandwidth == TokenBucketConfig{100, 1000, {}});
  CHECK_FALSE(rig.limiter->config().ops.has_value());
}

TEST_CASE("a throttled limiter is throttled after a restore on another clock") {
  Rig before({.bandwidth = TokenBucketConfig{100, 1000, 7}, .ops = {}});
  before.limiter->charge({.ops = 0, .bytes = 257});
  StateWriter out;
  before.limiter->save(out);
  Rig after({.bandwidth = TokenBucketConfig{100, 1000, 7}, .ops = {}});
  after.clock.now = 0;
  StateReader in("limits", out.data());
  REQUIRE(after.limiter->restore(in).ok());
  CHECK(in.finish().ok());
  CHECK(after.limiter->wait_ns({.ops = 0, .bytes = 1}) == before.limiter->wait_ns({.ops = 0, .bytes = 1}));
}

TEST_CASE("a forged token level is refused") {
  StateWriter out;
  out.u64(0);
  out.boolean(false);
  out.u64(GENERATE(std::uint64_t{1}, std::numeric_limits<std::uint64_t>::max()));
  out.u64(0);
  TokenBucket bucket({.size = 10, .refill_time_ms = 1, .one_time_burst = {}}, 0);
  StateReader in("limits", out.data());
  CHECK_FALSE(bucket.restore(in, 0).ok());
}

}  // namespace wisp
