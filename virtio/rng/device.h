// RngDevice: the virtio entropy device (virtio 1.2 section 5.4). One queue, no configuration space.
//
//   auto device = WISP_TRY(RngDevice::create(config, loop, clock));
//   auto transport = WISP_TRY(MmioTransport::create(std::move(device), memory, loop));
//
// One request: on_queue pops a chain -> parse_entropy_request -> the limiter -> the source writes into the guest's
// buffer -> the used ring, with exactly the number of bytes written (a guest trusts it: Linux CVE-2026-64456). Nothing
// is in flight between two turns of the loop.
//
// Bounds: kMaxEntropyRequestBytes for a request and kMaxEntropyBatchBytes for a turn, whatever the driver offers. A
// request costs one operation and the bytes that it may get.
#pragma once

#include <cstdint>
#include <memory>

#include "virtio/core/queue_device.h"
#include "virtio/limit/rate_limiter.h"
#include "virtio/rng/backend.h"
#include "virtio/rng/metrics.h"
#include "virtio/rng/request.h"
#include "vmm/base/clock.h"
#include "vmm/config/entropy.h"
#include "vmm/events/event_loop.h"

namespace wisp {

/// Random bytes that one turn makes before the loop serves others: well under a millisecond of work.
inline constexpr std::uint64_t kMaxEntropyBatchBytes = 256U * 1024U;

class RngDevice final : public QueueDevice {
 public:
  static Result<std::unique_ptr<RngDevice>> create(const EntropyConfig& config, EventLoop& loop, const Clock& clock);
  /// Over any source.
  static Result<std::unique_ptr<RngDevice>> create(const EntropyConfig& config, std::unique_ptr<EntropySource> source,
                                                   EventLoop& loop, const Clock& clock);
  ~RngDevice() override { reset(); }

  VirtioDeviceType type() const override { return VirtioDeviceType::Entropy; }
  std::uint64_t offered_features() const override;
  std::size_t queue_count() const override { return 1; }
  /// There is no configuration space.
  void read_config(std::uint64_t /*offset*/, std::span<std::byte> /*data*/) const override {}

  void update_limits(const RateLimiterPatch& patch) { limiter_->update(patch); }
  RateLimiterConfig limits() const { return limiter_->config(); }
  void save(StateWriter& out) const override { limiter_->save(out); }
  Status restore(StateReader& in) override { return limiter_->restore(in); }
  const EntropyMetrics& metrics() const { return metrics_; }

 private:
  struct PrivateTag {};

 public:
  RngDevice(PrivateTag tag, std::unique_ptr<EntropySource> source);

 private:
  Backlog serve(std::size_t index) override;
  void on_quiesce() override { limiter_->cancel_wait(); }
  void on_resume() override { limited_ = false; }
  void on_reset() override;
  void on_limiter_ready();
  Pump answer(DescriptorChain chain, BatchBudget& budget);
  std::uint32_t fill(const EntropyRequest& request);

  std::unique_ptr<EntropySource> source_;
  EntropyMetrics metrics_;
  Counter config_writes_;  // no public name
  std::unique_ptr<RateLimiter> limiter_;
  bool limited_ = false;  // the limiter takes up the queue again
};

}  // namespace wisp
