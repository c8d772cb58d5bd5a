// Rate limits as the operator asks for them: plain data.
#pragma once

#include <cstdint>
#include <optional>

namespace wisp {

/// `size` tokens, refilled evenly within `refill_time_ms`, after an initial burst that never comes back. A size or a
/// refill time of zero switches the bucket off.
struct TokenBucketConfig {
  std::uint64_t size = 0;
  std::uint64_t refill_time_ms = 0;
  std::optional<std::uint64_t> one_time_burst;

  bool limits() const { return size != 0 && refill_time_ms != 0; }
  friend bool operator==(const TokenBucketConfig&, const TokenBucketConfig&) = default;
};

/// An absent bucket limits nothing.
struct RateLimiterConfig {
  std::optional<TokenBucketConfig> bandwidth;  ///< tokens are bytes
  std::optional<TokenBucketConfig> ops;        ///< tokens are requests or frames
  friend bool operator==(const RateLimiterConfig&, const RateLimiterConfig&) = default;
};

/// A change: an absent bucket stays as it is, one that limits nothing switches that dimension off.
using RateLimiterPatch = RateLimiterConfig;

}  // namespace wisp
