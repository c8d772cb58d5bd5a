// TokenBucket: how much may pass, exactly. Pure arithmetic over a time that the caller brings.
//
// The bucket holds `size` tokens and refills evenly within its refill time; the one-time burst is spent first and never
// comes back. A demand passes when the tokens are there. A demand larger than the whole bucket passes when the bucket
// is full and leaves a debt, so the long-run rate holds whatever the sizes are.
//
// Nothing is rounded: the level is kept in units of token x refill time, which a nanosecond raises by `size`.
#pragma once

#include <cstdint>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "vmm/config/limiter.h"

namespace wisp {

class TokenBucket {
 public:
  /// Full, plus the burst. A configuration that does not limit makes a bucket that lets everything pass.
  TokenBucket(const TokenBucketConfig& config, std::uint64_t now_ns);
  TokenBucket() = default;

  bool limits() const { return size_ != 0; }
  /// Whether `tokens` may pass now. Refills first.
  bool has(std::uint64_t tokens, std::uint64_t now_ns);
  /// Takes them, into debt if need be.
  void charge(std::uint64_t tokens);
  /// How long from `now_ns` until `tokens` may pass; 0: now.
  std::uint64_t wait_ns(std::uint64_t tokens, std::uint64_t now_ns);

  /// Level and burst as of `now_ns`; the clock of the machine that restores is another one.
  void save(StateWriter& out, std::uint64_t now_ns) const;
  Status restore(StateReader& in, std::uint64_t now_ns);

 private:
  __extension__ using Units = __int128;

  void refill(std::uint64_t now_ns);
  Units cost_of(std::uint64_t tokens) const;
  Units full() const { return static_cast<Units>(size_) * static_cast<Units>(refill_time_ns_); }

  std::uint64_t size_ = 0;  // 0: does not limit
  std::uint64_t refill_time_ns_ = 0;
  std::uint64_t burst_ = 0;
  Units level_ = 0;  // negative: in debt
  std::uint64_t updated_ns_ = 0;
};

}  // namespace wisp
