#include "virtio/limit/token_bucket.h"

#include <algorithm>
#include <limits>

namespace wisp {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
/// Refill times beyond this (three years) are cut, so that no product wraps.
constexpr std::uint64_t kLongestRefillMs = 100'000'000'000;
constexpr std::uint64_t kLargestSize = std::uint64_t{1} << 60U;
/// No debt is larger than this many whole buckets.
constexpr int kLargestDebtInBuckets = 1 << 16;

}  // namespace

TokenBucket::TokenBucket(const TokenBucketConfig& config, std::uint64_t now_ns) {
  if (!config.limits()) {
    return;
  }
  size_ = std::min(config.size, kLargestSize);
  refill_time_ns_ = std::min(config.refill_time_ms, kLongestRefillMs) * kNsPerMs;
  burst_ = config.one_time_burst.value_or(0);
  level_ = full();
  updated_ns_ = now_ns;
}

void TokenBucket::refill(std::uint64_t now_ns) {
  if (now_ns <= updated_ns_) {
    return;
  }
  const std::uint64_t elapsed_ns = now_ns - updated_ns_;
  updated_ns_ = now_ns;
  level_ = std::min(full(), level_ + static_cast<Units>(elapsed_ns) * static_cast<Units>(size_));
}

TokenBucket::Units TokenBucket::cost_of(std::uint64_t tokens) const {
  return static_cast<Units>(std::min(tokens, kLargestSize)) * static_cast<Units>(refill_time_ns_);
}

bool TokenBucket::has(std::uint64_t tokens, std::uint64_t now_ns) {
  return wait_ns(tokens, now_ns) == 0;
}

std::uint64_t TokenBucket::wait_ns(std::uint64_t tokens, std::uint64_t now_ns) {
  if (!limits() || tokens == 0) {
    return 0;
  }
  refill(now_ns);
  const std::uint64_t after_burst = tokens - std::min(tokens, burst_);
  const Units needed = std::min(cost_of(after_burst), full());
  if (level_ >= needed) {
    return 0;
  }
  const Units missing = needed - level_;
  const Units wait = (missing + static_cast<Units>(size_) - 1) / static_cast<Units>(size_);
  return static_cast<std::uint64_t>(std::min(wait, static_cast<Units>(std::numeric_limits<std::int64_t>::max())));
}

void TokenBucket::charge(std::uint64_t tokens) {
  if (!limits()) {
    return;
  }
  const std::uint64_t from_burst = std::min(tokens, burst_);
  burst_ -= from_burst;
  level_ = std::max(level_ - cost_of(tokens - from_burst), -full() * kLargestDebtInBuckets);
}

void TokenBucket::save(StateWriter& out, std::uint64_t now_ns) const {
  TokenBucket present = *this;
  present.refill(now_ns);
  out.u64(present.burst_);
  out.boolean(present.level_ < 0);
  const Units magnitude = present.level_ < 0 ? -present.level_ : present.level_;
  out.u64(static_cast<std::uint64_t>(magnitude >> 64U));
  out.u64(static_cast<std::uint64_t>(magnitude & std::numeric_limits<std::uint64_t>::max()));
}

Status TokenBucket::restore(StateReader& in, std::uint64_t now_ns) {
  const std::uint64_t burst = in.u64();
  const bool debt = in.boolean();
  const std::uint64_t high = in.u64();
  const std::uint64_t low = in.u64();
  (void)WISP_TRY(in.check(high <= std::uint64_t(std::numeric_limits<std::int64_t>::max()), "token level out of range"));
  const Units magnitude = (static_cast<Units>(high) << 64U) | static_cast<Units>(low);
  (void)WISP_TRY(in.check(magnitude <= (debt ? full() * kLargestDebtInBuckets : full()), "token level out of range"));
  burst_ = limits() ? burst : 0;
  level_ = debt ? -magnitude : magnitude;
  updated_ns_ = now_ns;
  return {};
}

}  // namespace wisp
