// BlockDevice: a virtio disk over a raw host file (virtio 1.2 section 5.2). One queue.
//
//   DiskFile file = WISP_TRY(DiskFile::open(config));
//   auto device = WISP_TRY(BlockDevice::create(config, std::move(file), loop));
//   auto transport = WISP_TRY(MmioTransport::create(std::move(device), memory, loop));
//
// One request: on_queue pops a chain -> parse_block_request -> a slot -> the backend -> a completion, which writes the
// status byte last -> the used ring, published once per batch. Whatever a driver asks, its chain comes back exactly
// once with the number of bytes really written: data and the status byte.
//
// A batch is bounded by one queue's worth of requests and by kMaxBatchBytes; what is left is taken up after the other
// handlers of the loop had their turn.
//
// Flush: offered for CacheType::Writeback only, and carried out whenever it is asked for. A flush that fails makes
// every later one fail until the driver resets the device or another file replaces this one, because the host may have
// dropped the dirty pages it could not write. When flush is offered and the driver does not take it, every write is
// stable before it completes (5.2.6.2).
//
// Limits: a request costs one operation and the bytes of its data. One that has to wait is put back; kicks are of no
// use until the limiter calls.
//
// A disk can be replaced while the guest runs: all that can fail is done first; requests in flight end on the old
// file, none is popped meanwhile; then the new file takes over and the driver is told (a configuration change).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "virtio/block/backend.h"
#include "virtio/block/disk_file.h"
#include "virtio/block/in_flight_table.h"
#include "virtio/block/metrics.h"
#include "virtio/block/request.h"
#include "virtio/core/queue_device.h"
#include "virtio/limit/rate_limiter.h"
#include "vmm/base/clock.h"
#include "vmm/config/drive.h"
#include "vmm/events/event_loop.h"

namespace wisp {

/// Data that one batch moves before the loop serves others; the Sync engine blocks the loop for that long.
inline constexpr std::uint64_t kMaxBatchBytes = 4U << 20U;

/// Feature bits of section 5.2.3 that are offered.
namespace block_feature {
inline constexpr std::uint64_t kSizeMax = 1U << 1U;
inline constexpr std::uint64_t kSegMax = 1U << 2U;
inline constexpr std::uint64_t kReadOnly = 1U << 5U;
inline constexpr std::uint64_t kFlush = 1U << 9U;
}  // namespace block_feature

/// All about a disk but where its bytes are.
struct DiskProfile {
  std::string drive_id;
  DeviceId device_id{};
  DiskShape shape;
  CacheType cache_type = CacheType::Unsafe;
  IoEngine io_engine = IoEngine::Sync;  ///< for a file that replaces the present one
  RateLimiterConfig limits = {};
};

/// What a replacement brings.
struct DiskMedium {
  DeviceId device_id{};
  DiskShape shape;
  std::unique_ptr<BlockBackend> backend;
};

class BlockDevice final : public QueueDevice, private EventHandler {
 public:
  /// Opens the file and starts the engine that `config` names.
  static Result<std::unique_ptr<BlockDevice>> create(const DriveConfig& config, EventLoop& loop);
  /// The same over a file that is open already.
  static Result<std::unique_ptr<BlockDevice>> create(const DriveConfig& config, DiskFile file, EventLoop& loop);
  /// Over any backend.
  static Result<std::unique_ptr<BlockDevice>> create(DiskProfile profile, std::unique_ptr<BlockBackend> backend,
                                                     EventLoop& loop, const Clock& clock);
  ~BlockDevice() override;

  VirtioDeviceType type() const override { return VirtioDeviceType::Block; }
  std::uint64_t offered_features() const override { return offered_features_; }
  std::size_t queue_count() const override { return 1; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  std::size_t in_flight_count() const override { return in_flight_.count(); }

  // Live updates, on the loop's thread, whatever state the device is in. An error changes nothing.
  /// A PATCH: opens the new file, if there is one, as the present one was opened, replaces the disk and the limits.
  Status update(const DrivePatch& patch);
  /// Replaces the disk once nothing is in flight any more (now, mostly). The same file with another size is a rescan. A
  /// replacement that still waits is replaced.
  Status replace_disk(DiskFile file);
  /// The same with any backend.
  Status replace_medium(DiskMedium medium);
  /// A replacement still waits for requests in flight on the old file.
  bool replacement_pending() const { return next_.has_value(); }
  void update_limits(const RateLimiterPatch& patch) { limiter_->update(patch); }
  RateLimiterConfig limits() const { return limiter_->config(); }

  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;
  const BlockMetrics& metrics() const { return metrics_; }
  const std::string& drive_id() const { return profile_.drive_id; }

 private:
  struct PrivateTag {};
  enum class Wait : std::uint8_t { None, Engine, Limiter };

  struct InFlight {
    DescriptorChain chain;
    BlockRequest request;
    std::uint64_t started_ns;
  };

 public:
  BlockDevice(PrivateTag tag, DiskProfile profile, std::unique_ptr<BlockBackend> backend, EventLoop& loop,
              const Clock& clock);

 private:
  Backlog serve(std::size_t index) override;
  void on_quiesce() override { limiter_->cancel_wait(); }
  void on_resume() override { wait_ = Wait::None; }
  void on_reset() override;
  void on_event(std::uint32_t events) override;
  void on_limiter_ready();

  Pump start(DescriptorChain chain, BatchBudget& budget);
  Pump put_off(DescriptorChain chain, Wait reason);
  Submission start_transfer(DescriptorChain& chain, const BlockRequest& request);
  IoKind io_kind(BlockOp op) const;
  void answer_at_once(DescriptorChain chain, BlockRequest& request);
  void finish(const BlockCompletion& completion);
  void count_transfer(const InFlight& entry, const IoOutcome& outcome);
  void reap();
  bool stable_writes() const;
  Status check_replacement(const DiskShape& shape) const;
  void switch_medium_if_idle();
  void unwatch(const BlockBackend& backend);

  DiskProfile profile_;
  std::uint64_t offered_features_;
  std::atomic<std::uint64_t> capacity_;  // profile_.shape.sector_count, for the vCPU threads
  std::unique_ptr<BlockBackend> backend_;
  std::optional<DiskMedium> next_;  // waits until nothing is in flight
  EventLoop* loop_;
  const Clock* clock_;
  BlockMetrics metrics_;
  std::unique_ptr<RateLimiter> limiter_;

  Wait wait_ = Wait::None;  // who takes up the queue again
  bool flush_failed_ = false;
  InFlightTable<InFlight, kMaxBlockInFlight> in_flight_;
};

}  // namespace wisp
