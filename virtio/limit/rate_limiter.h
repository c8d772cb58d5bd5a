// RateLimiter: two token buckets (requests and bytes) that answer "now" or "I shall call you".
//
//   if (!limiter.take({.ops = 1, .bytes = length})) {     // nothing was charged
//     std::move(chain).put_back();
//     return Pump::Stop;                                  // on_ready is called once the tokens are there
//   }
//
// It never sleeps and never wakes anybody without reason: a timer runs only between a refused take() and the moment at
// which that demand would pass. Both buckets are charged, or neither. Time comes from the clock that is given.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "virtio/limit/token_bucket.h"
#include "vmm/base/clock.h"
#include "vmm/events/one_shot_timer.h"

namespace wisp {

struct Demand {
  std::uint64_t ops = 0;
  std::uint64_t bytes = 0;
};

class RateLimiter {
 public:
  /// `on_ready` is called on the loop's thread, once after each refused take() (once for several in a row).
  static Result<std::unique_ptr<RateLimiter>> create(const RateLimiterConfig& config, EventLoop& loop,
                                                     const Clock& clock, std::function<void()> on_ready);

  /// True: charged, go on. False: nothing charged, wait for on_ready.
  [[nodiscard]] bool take(Demand demand);
  /// take() without the charge, for work that may still be put off: charge() follows once it is under way.
  [[nodiscard]] bool admits(Demand demand);
  /// Charges what has already passed, into debt if need be; later demands pay for it.
  void charge(Demand demand);
  /// How long until `demand` would pass; 0: now.
  std::uint64_t wait_ns(Demand demand);

  /// A PATCH. New buckets start full. A waiting on_ready is called soon, so that the demand is tried again.
  void update(const RateLimiterPatch& patch);
  RateLimiterConfig config() const { return config_; }
  /// Nobody waits any more (the device was reset or is quiesced).
  void cancel_wait() { timer_->disarm(); }

  void save(StateWriter& out) const;
  Status restore(StateReader& in);

 private:
  RateLimiter(const RateLimiterConfig& config, const Clock& clock);

  const Clock& clock_;
  RateLimiterConfig config_;
  TokenBucket bytes_;
  TokenBucket ops_;
  std::unique_ptr<OneShotTimer> timer_;
};

}  // namespace wisp
