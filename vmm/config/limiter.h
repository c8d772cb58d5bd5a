// Rate limits as the operator asks for them: plain data.
#pragma once

#include <cstdint>
#include <optional>

namespace wisp {

/// A refill time that is no 64-bit number of nanoseconds is none at all.
inline constexpr std::uint64_t kMaxRefillTimeMs = 18'446'744'073'709;

/// `size` tokens, refilled evenly within `refill_time_ms`, after an initial burst that never comes back. A size or a
/// refill time of zero switches the bucket off.
struct TokenBucketConfig {
  std::uint64_t size = 0;
  std::uint64_t refill_time_ms = 0;
  std::optional<std::uint64_t> one_time_burst;

  bool limits() const { return size != 0 && refill_time_ms != 0 && refill_time_ms <= kMaxRefillTimeMs; }
  friend bool operator==(const TokenBucketConfig&, const TokenBucketConfig&) = default;
};

/// What a bucket comes to: one that limits nothing is none, and a burst of nothing is none.
inline std::optional<TokenBucketConfig> effective(const std::optional<TokenBucketConfig>& bucket) {
  if (!bucket || !bucket->limits()) {
    return std::nullopt;
  }
  TokenBucketConfig result = *bucket;
  if (result.one_time_burst == 0U) {
    result.one_time_burst.reset();
  }
  return result;
}

/// An absent bucket limits nothing.
struct RateLimiterConfig {
  std::optional<TokenBucketConfig> bandwidth;  ///< tokens are bytes
  std::optional<TokenBucketConfig> ops;        ///< tokens are requests or frames
  friend bool operator==(const RateLimiterConfig&, const RateLimiterConfig&) = default;
};

/// A change: an absent bucket stays as it is, one that limits nothing switches that dimension off.
using RateLimiterPatch = RateLimiterConfig;

}  // namespace wisp
