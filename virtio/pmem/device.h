// PmemDevice: the virtio persistent memory device (virtio 1.2 section 5.19). One queue, for flushes; the memory itself
// is a memory slot of the machine, made from the same PmemFile (virtio/pmem/pmem_file.h).
//
//   auto device = WISP_TRY(PmemDevice::create(config, std::move(file), start, loop, clock));
//   auto transport = WISP_TRY(MmioTransport::create(std::move(device), memory, loop));
//
// One batch: all flushes that wait are popped, one sync answers them all (each was sent before the sync began, so each
// is covered), then the used ring. Nothing is in flight between two turns of the loop. The sync blocks the loop for as
// long as the medium takes; there is at most one in a turn.
//
// A sync that fails makes every later flush fail until the driver resets the device, because the host may have dropped
// the dirty pages it could not write. A read-only device has nothing to make durable: its flushes succeed at once.
//
// Limits: a sync costs one operation and the size of the file in bytes, however many flushes it answers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "virtio/core/queue_device.h"
#include "virtio/limit/rate_limiter.h"
#include "virtio/pmem/metrics.h"
#include "virtio/pmem/pmem_file.h"
#include "virtio/pmem/request.h"
#include "vmm/base/clock.h"
#include "vmm/events/event_loop.h"
#include "vmm/memory/guest_address.h"

namespace wisp {

class PmemDevice final : public QueueDevice {
 public:
  static Result<std::unique_ptr<PmemDevice>> create(const PmemConfig& config, PmemFile file, GuestAddress start,
                                                    EventLoop& loop, const Clock& clock);
  /// Over any backend.
  static Result<std::unique_ptr<PmemDevice>> create(const PmemConfig& config, std::unique_ptr<PmemBackend> backend,
                                                    GuestAddress start, EventLoop& loop, const Clock& clock);
  ~PmemDevice() override { reset(); }

  VirtioDeviceType type() const override { return VirtioDeviceType::Pmem; }
  std::uint64_t offered_features() const override;
  std::size_t queue_count() const override { return 1; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;

  void update_limits(const RateLimiterPatch& patch) { limiter_->update(patch); }
  RateLimiterConfig limits() const { return limiter_->config(); }
  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;
  const PmemMetrics& metrics() const { return metrics_; }
  const std::string& id() const { return id_; }
  GuestAddress start() const { return start_; }
  std::uint64_t size_bytes() const { return backend_->size_bytes(); }

 private:
  struct PrivateTag {};

 public:
  PmemDevice(PrivateTag tag, const PmemConfig& config, std::unique_ptr<PmemBackend> backend, GuestAddress start);

 private:
  Backlog serve(std::size_t index) override;
  void on_quiesce() override { limiter_->cancel_wait(); }
  void on_resume() override { limited_ = false; }
  void on_reset() override;
  void on_limiter_ready();
  Pump take(DescriptorChain chain);
  Pump take_flush(DescriptorChain chain);
  void flush_waiting();
  void answer(DescriptorChain chain, PmemAnswer answer);

  std::string id_;
  std::unique_ptr<PmemBackend> backend_;
  GuestAddress start_;
  PmemMetrics metrics_;
  std::unique_ptr<RateLimiter> limiter_;
  std::vector<DescriptorChain> waiting_;  // only inside serve(); never grows beyond its first capacity
  bool flush_failed_ = false;
  bool limited_ = false;  // the limiter takes up the queue again
};

}  // namespace wisp
