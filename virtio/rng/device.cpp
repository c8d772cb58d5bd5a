#include "virtio/rng/device.h"

#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp {

Result<std::unique_ptr<RngDevice>> RngDevice::create(const EntropyConfig& config, EventLoop& loop, const Clock& clock) {
  return create(config, std::make_unique<HostRandom>(), loop, clock);
}

Result<std::unique_ptr<RngDevice>> RngDevice::create(const EntropyConfig& config, std::unique_ptr<EntropySource> source,
                                                     EventLoop& loop, const Clock& clock) {
  auto device = std::make_unique<RngDevice>(PrivateTag{}, std::move(source));
  RngDevice* const raw = device.get();
  device->limiter_ = WISP_TRY(RateLimiter::create(config.limits, loop, clock, [raw] { raw->on_limiter_ready(); }));
  return device;
}

RngDevice::RngDevice(PrivateTag /*tag*/, std::unique_ptr<EntropySource> source)
    : QueueDevice("the entropy device", {metrics_.activate_fails, config_writes_, metrics_.entropy_event_fails}),
      source_(std::move(source)) {}

std::uint64_t RngDevice::offered_features() const {
  return feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors;
}

void RngDevice::on_reset() {
  if (limiter_) {
    limiter_->cancel_wait();
  }
  limited_ = false;
}

void RngDevice::on_limiter_ready() {
  metrics_.rate_limiter_event_count.add();
  limited_ = false;
  if (active()) {
    signals().look_again(0);
  }
}

Backlog RngDevice::serve(std::size_t index) {
  if (limited_) {
    return Backlog::None;  // on_limiter_ready takes up the queue again
  }
  VirtQueue& queue = queue_at(index);
  BatchBudget budget{queue.size(), kMaxEntropyBatchBytes};
  const PumpResult end =
      pump_queue(queue, budget, [&](DescriptorChain chain) { return answer(std::move(chain), budget); });
  return conclude(index, end);
}

Pump RngDevice::answer(DescriptorChain chain, BatchBudget& budget) {
  const EntropyRequest request = parse_entropy_request(chain);
  const Demand demand{1, request.target.size_bytes()};
  if (!limiter_->take(demand)) {
    metrics_.entropy_rate_limiter_throttled.add();
    limited_ = true;
    std::move(chain).put_back();
    return Pump::Stop;
  }
  metrics_.entropy_event_count.add();
  budget.charge_bytes(demand.bytes);
  std::uint32_t written_bytes = 0;
  if (request.defect == EntropyDefect::None) {
    written_bytes = fill(request);
  } else {
    metrics_.entropy_event_fails.add();
    WISP_LOG_LIMITED(Warn, "%s: refused a request: %s (%s)", name().c_str(), entropy_defect_name(request.defect),
                     chain_defect_name(chain.defect()));
  }
  std::move(chain).complete(written_bytes);
  return Pump::Next;
}

std::uint32_t RngDevice::fill(const EntropyRequest& request) {
  const std::uint32_t written_bytes = source_->fill(request.target);
  metrics_.entropy_bytes.add(written_bytes);
  if (written_bytes < request.target.size_bytes()) {
    metrics_.host_rng_fails.add();
    WISP_LOG_LIMITED(Error, "%s: the host gave %u of %u random bytes", name().c_str(), written_bytes,
                     request.target.size_bytes());
  }
  return written_bytes;
}

}  // namespace wisp
