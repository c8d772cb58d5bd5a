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
// every later one fail until the driver resets the device, because the host may have dropped the dirty pages it could
// not write. When flush is offered and the driver does not take it, every write is stable before it completes
// (5.2.6.2).
#pragma once

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
#include "virtio/core/device.h"
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

/// What the guest sees of a disk.
struct DiskProfile {
  std::string drive_id;
  DeviceId device_id{};
  DiskShape shape;
  CacheType cache_type = CacheType::Unsafe;
};

class BlockDevice final : public VirtioDevice, private EventHandler {
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
  /// Nothing in a disk's configuration space can be written.
  void write_config(std::uint64_t offset, std::span<const std::byte> data) override;

  void attach(TransportSignals& signals) override { signals_ = &signals; }
  Status activate(Activation activation) override;
  [[nodiscard]] bool on_queue(std::size_t index) override;
  void quiesce() override;
  std::size_t in_flight_count() const override { return in_flight_.count(); }
  void resume() override;
  void reset() override;

  const VirtQueue* queue(std::size_t index) const override { return index == 0 && queue_ ? &*queue_ : nullptr; }
  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;
  const BlockMetrics& metrics() const { return metrics_; }
  const std::string& drive_id() const { return profile_.drive_id; }

 private:
  struct PrivateTag {};
  enum class Life : std::uint8_t { Inactive, Active, Quiesced, Broken };
  enum class Start : std::uint8_t { Taken, Throttled };

  struct InFlight {
    DescriptorChain chain;
    BlockRequest request;
    std::uint64_t started_ns;
  };
  struct BatchBudget {
    std::size_t requests;
    std::uint64_t bytes;
    bool spent() const { return requests == 0 || bytes == 0; }
    void charge(std::uint64_t moved_bytes) {
      --requests;
      bytes -= moved_bytes < bytes ? moved_bytes : bytes;
    }
  };

 public:
  BlockDevice(PrivateTag tag, DiskProfile profile, std::unique_ptr<BlockBackend> backend, EventLoop& loop,
              const Clock& clock);

 private:
  void on_event(std::uint32_t events) override;

  Backlog serve_queue();
  Backlog pop_batch();
  Backlog pop_available(BatchBudget& budget);
  Start start(DescriptorChain chain, BatchBudget& budget);
  Start start_transfer(DescriptorChain chain, const BlockRequest& request);
  IoKind io_kind(BlockOp op) const;
  void answer_at_once(DescriptorChain chain, BlockRequest& request);
  void finish(const BlockCompletion& completion);
  void count_transfer(const InFlight& entry, const IoOutcome& outcome);
  void reap();
  void publish();
  void break_queue(QueueFault fault);
  bool stable_writes() const;

  DiskProfile profile_;
  std::uint64_t offered_features_;
  std::unique_ptr<BlockBackend> backend_;
  EventLoop* loop_;
  const Clock* clock_;
  TransportSignals* signals_ = nullptr;
  BlockMetrics metrics_;

  Life life_ = Life::Inactive;
  bool throttled_ = false;  // the backend was busy; its next completion takes up the queue again
  bool flush_failed_ = false;
  std::uint64_t negotiated_features_ = 0;
  InterruptLine* interrupt_ = nullptr;
  std::optional<VirtQueue> queue_;
  InFlightTable<InFlight, kMaxBlockInFlight> in_flight_;  // its chains end before queue_ does: see reset()
};

}  // namespace wisp
