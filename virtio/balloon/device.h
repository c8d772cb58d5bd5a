// BalloonDevice: memory that the guest lends back to the host (virtio 1.2 section 5.5).
//
//   auto device = WISP_TRY(BalloonDevice::create(config, memory_mib, loop, clock));
//   device->resize(256);                          // the operator: hold 256 MiB back from the guest
//   device->statistics();                         // what the guest said last
//   device->start_hinting(HintingStop::Acknowledge);
//
// Up to five queues. Their numbers are packed in the order below, without gaps for what was not negotiated, as drivers
// expect it:
//   inflate      page frames go to the host           deflate   acknowledged: a page comes back when it is touched
//   statistics   one buffer is held until the polling interval has passed since it came, then returned: that is how the
//                device asks for new values
//   hinting      free ranges of a run (HintingSession)          reporting   free ranges, whenever the guest likes
//
// A list or a set of ranges may be of any length. It is worked through in turns of at most kFramesPerTurn page frames
// or kRangeBytesPerTurn, with the loop's other handlers in between; its chain is held meanwhile and put back when the
// device is quiesced, so that it is taken up from its beginning (discarding twice what the driver has not got back yet
// changes nothing). num_pages is the operator's word: a driver can write nothing but `actual`.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "virtio/balloon/backend.h"
#include "virtio/balloon/hinting.h"
#include "virtio/balloon/metrics.h"
#include "virtio/balloon/request.h"
#include "virtio/core/queue_device.h"
#include "vmm/base/clock.h"
#include "vmm/config/balloon.h"
#include "vmm/events/event_loop.h"
#include "vmm/events/one_shot_timer.h"

namespace wisp {

/// Page frames that one turn releases before the loop serves others; at worst each is a system call.
inline constexpr std::uint64_t kFramesPerTurn = 4096;
/// Bytes of free ranges that one turn releases, and of one system call.
inline constexpr std::uint64_t kRangeBytesPerTurn = 256U << 20U;
inline constexpr std::uint32_t kRangeBytesPerCall = 64U << 20U;

class BalloonDevice final : public QueueDevice {
 public:
  static Result<std::unique_ptr<BalloonDevice>> create(const BalloonConfig& config, std::uint64_t memory_mib,
                                                       EventLoop& loop, const Clock& clock);
  ~BalloonDevice() override { reset(); }

  VirtioDeviceType type() const override { return VirtioDeviceType::Balloon; }
  std::uint64_t offered_features() const override;
  std::size_t queue_count() const override;
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  /// `actual` can be written, whole or in part; other bytes are ignored and counted.
  void write_config(std::uint64_t offset, std::span<const std::byte> data) override;

  // The operator. Loop thread.
  Status resize(std::uint32_t amount_mib);
  Result<BalloonStatistics> statistics() const;
  /// From the time on at which the present buffer came.
  Status set_polling_interval(std::uint16_t interval_s);
  Status start_hinting(HintingStop on_stop);
  Status stop_hinting();
  Result<BalloonHintingStatus> hinting_status() const;
  /// As configured and changed since.
  BalloonConfig config() const;

  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;
  const BalloonMetrics& metrics() const { return metrics_; }

 private:
  struct PrivateTag {};
  /// A chain that takes more than one turn.
  struct Work {
    DescriptorChain chain;
    ChainReader list;
    RangeCursor ranges;
  };
  enum class Progress { Done, Unfinished };

 public:
  BalloonDevice(PrivateTag tag, const BalloonConfig& config, std::uint64_t memory_mib, const Clock& clock);

 private:
  Backlog serve(std::size_t index) override;
  Status on_activate() override;
  void on_quiesce() override;
  void on_reset() override;
  bool may_be_absent(std::size_t index) const override { return index >= kFixedQueues; }

  static constexpr std::size_t kFixedQueues = 2;

  Backlog serve_work(std::size_t index, BalloonQueue kind);
  Backlog serve_deflate(std::size_t index);
  Backlog serve_statistics(std::size_t index);
  Progress start(BalloonQueue kind, DescriptorChain chain, BatchBudget& budget);
  Progress go_on(BalloonQueue kind, Work work, BatchBudget& budget);
  void release_frames(ChainReader& list, BatchBudget& budget);
  void release_ranges(BalloonQueue kind, RangeCursor& ranges, BatchBudget& budget);
  bool well_formed(BalloonQueue kind, const DescriptorChain& chain) const;
  bool take_hinting_command(const DescriptorChain& chain);
  void count_malformed(BalloonQueue kind);

  void take_statistics(DescriptorChain chain);
  void return_statistics();
  void arm_statistics_timer();
  void on_statistics_due();

  Status check_live() const;
  std::optional<Work>& work_of(BalloonQueue kind) { return works_[static_cast<std::size_t>(kind)]; }

  BalloonMetrics metrics_;
  Counter ignored_config_writes_;
  BalloonConfig config_;
  std::uint64_t memory_mib_;
  const Clock& clock_;
  std::unique_ptr<OneShotTimer> timer_;  // only with statistics

  // Read by vCPU threads (configuration space).
  std::atomic<std::uint32_t> target_pages_ = 0;
  std::atomic<std::uint32_t> actual_pages_ = 0;
  HintingSession hinting_;
  bool announce_on_activation_ = false;

  std::array<std::optional<BalloonQueue>, kBalloonQueueKinds> kinds_{};  // by queue number
  std::array<std::optional<Work>, kBalloonQueueKinds> works_{};
  FrameListReader frames_;
  PageReleaser releaser_;

  GuestStatistics statistics_{};
  std::optional<DescriptorChain> held_statistics_;
  std::size_t statistics_index_ = 0;
  std::uint64_t statistics_came_ns_ = 0;
  bool statistics_put_back_ = false;  // the buffer that comes next was read before the device was quiesced
};

}  // namespace wisp
