#include "virtio/limit/rate_limiter.h"

#include <algorithm>
#include <utility>

namespace wisp {
RateLimiter::RateLimiter(const RateLimiterConfig& config, const Clock& clock)
    : clock_(clock),
      config_{effective(config.bandwidth), effective(config.ops)},
      bytes_(config_.bandwidth.value_or(TokenBucketConfig{}), clock.now_ns()),
      ops_(config_.ops.value_or(TokenBucketConfig{}), clock.now_ns()) {}

Result<std::unique_ptr<RateLimiter>> RateLimiter::create(const RateLimiterConfig& config, EventLoop& loop,
                                                         const Clock& clock, std::function<void()> on_ready) {
  std::unique_ptr<RateLimiter> limiter(new RateLimiter(config, clock));
  limiter->timer_ = WISP_TRY(OneShotTimer::create(loop, std::move(on_ready)));
  return limiter;
}

std::uint64_t RateLimiter::wait_ns(Demand demand) {
  const std::uint64_t now_ns = clock_.now_ns();
  return std::max(ops_.wait_ns(demand.ops, now_ns), bytes_.wait_ns(demand.bytes, now_ns));
}

bool RateLimiter::admits(Demand demand) {
  if (!ops_.limits() && !bytes_.limits()) {
    return true;
  }
  const std::uint64_t wait = wait_ns(demand);
  if (wait > 0) {
    timer_->arm(wait);
    return false;
  }
  return true;
}

bool RateLimiter::take(Demand demand) {
  if (!admits(demand)) {
    return false;
  }
  charge(demand);
  return true;
}

void RateLimiter::charge(Demand demand) {
  ops_.charge(demand.ops);
  bytes_.charge(demand.bytes);
}

void RateLimiter::update(const RateLimiterPatch& patch) {
  const std::uint64_t now_ns = clock_.now_ns();
  if (patch.bandwidth) {
    config_.bandwidth = effective(patch.bandwidth);
    bytes_ = TokenBucket(*patch.bandwidth, now_ns);
  }
  if (patch.ops) {
    config_.ops = effective(patch.ops);
    ops_ = TokenBucket(*patch.ops, now_ns);
  }
  if (timer_->armed()) {
    timer_->arm(0);
  }
}

void RateLimiter::save(StateWriter& out) const {
  const std::uint64_t now_ns = clock_.now_ns();
  bytes_.save(out, now_ns);
  ops_.save(out, now_ns);
}

Status RateLimiter::restore(StateReader& in) {
  const std::uint64_t now_ns = clock_.now_ns();
  (void)WISP_TRY(bytes_.restore(in, now_ns));
  return ops_.restore(in, now_ns);
}

}  // namespace wisp
