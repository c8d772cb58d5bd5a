// NetDevice: a network card over a TAP of the host (virtio 1.2 section 5.1). Queue 0 receives, queue 1 transmits.
//
//   Tap tap = WISP_TRY(Tap::open(config.host_dev_name));
//   auto device = WISP_TRY(NetDevice::create(config, std::move(tap), std::move(metadata_service), loop));
//
// Transmit: pop -> copy header and first bytes -> check the copy -> a frame for the detour is copied whole and handed
// over; any other waits for the limiter, then goes to the TAP by one writev of the copy and the guest's other buffers.
// EAGAIN puts the chain back. A frame that the host refuses is counted and its chain completed.
//
// Receive: pop as many buffers as the last frame needed -> one readv: header to the host, frame to the guest, what does
// not fit to the bounce buffer -> more buffers for the rest. When the driver has not posted enough, the frame waits in
// the bounce buffer, its buffers are put back, and the driver's next kick goes on. So a small frame needs a small
// buffer, a large one is not lost, and no chain is held between two events.
//
// Order of receiving: the frame that waits, then frames of the detour, then the TAP. Frames of one source never
// overtake each other.
//
// The TAP is watched edge-triggered and read until it is empty (tap_readable_), so a TAP that stays full while the
// guest posts nothing costs no time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "virtio/core/queue_device.h"
#include "virtio/limit/rate_limiter.h"
#include "virtio/mmds/frame_detour.h"
#include "virtio/net/backend.h"
#include "virtio/net/metrics.h"
#include "virtio/net/packet.h"
#include "virtio/net/rx_chains.h"
#include "virtio/net/tap.h"
#include "vmm/base/clock.h"
#include "vmm/config/net.h"
#include "vmm/events/event_loop.h"

namespace wisp {

inline constexpr std::size_t kNetRxQueue = 0;
inline constexpr std::size_t kNetTxQueue = 1;
/// Data that one batch of a queue moves before the loop serves others.
inline constexpr std::uint64_t kMaxNetBatchBytes = 4U << 20U;
/// Longer than any frame of an interface: the largest MTU is 65535.
inline constexpr std::size_t kMaxRxFrameBytes = 66 * 1024;

class NetDevice final : public QueueDevice, private EventHandler {
 public:
  /// `detour` may be null.
  static Result<std::unique_ptr<NetDevice>> create(const NetConfig& config, Tap tap,
                                                   std::unique_ptr<FrameDetour> detour, EventLoop& loop);
  /// Over any backend.
  static Result<std::unique_ptr<NetDevice>> create(const NetConfig& config, std::unique_ptr<NetBackend> backend,
                                                   std::unique_ptr<FrameDetour> detour, EventLoop& loop,
                                                   const Clock& clock);
  ~NetDevice() override;

  VirtioDeviceType type() const override { return VirtioDeviceType::Net; }
  std::uint64_t offered_features() const override { return offered_features_; }
  std::size_t queue_count() const override { return 2; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;

  void update_limits(const NetPatch& patch);
  RateLimiterConfig rx_limits() const { return rx_limiter_->config(); }
  RateLimiterConfig tx_limits() const { return tx_limiter_->config(); }
  const NetMetrics& metrics() const { return metrics_; }
  const std::string& iface_id() const { return config_.iface_id; }
  /// A frame was taken from its source and waits for buffers.
  bool holds_frame() const { return held_bytes_ != 0; }

 private:
  struct PrivateTag {};
  /// How one step of receiving ended.
  enum class Step : std::uint8_t {
    Next,       ///< go on
    Idle,       ///< nothing to receive, or the limiter is to call
    NoBuffers,  ///< the driver's next kick goes on
    Spent,      ///< the batch's budget is used up
    Broken,     ///< the ring is broken
  };
  using Popped = std::variant<DescriptorChain, Step>;

 public:
  NetDevice(PrivateTag tag, const NetConfig& config, std::unique_ptr<NetBackend> backend,
            std::unique_ptr<FrameDetour> detour, EventLoop& loop, const Clock& clock);

 private:
  Backlog serve(std::size_t index) override;
  Status on_activate() override;
  void on_quiesce() override;
  void on_resume() override;
  void on_reset() override;
  void on_event(std::uint32_t events) override;

  Status connect();
  void go_on_receiving();
  void go_on_transmitting();

  // Receive (device_rx.cpp).
  Backlog receive();
  Step receive_one();
  Step receive_from_tap();
  bool take_detour_reply();
  Step gather();
  Step read_tap();
  Step end_of_tap(int sys_errno);
  Step deliver(RxFrame frame);
  Step make_room(RxFrame& frame);
  Step hold(RxFrame& frame, Step reason);
  Step drop_frame();
  Popped pop_rx();
  bool driver_may_get(const RxFrame& frame) const;
  VnetHeader header_for_driver() const;

  // Transmit (device_tx.cpp).
  Backlog transmit();
  Pump send(DescriptorChain chain, BatchBudget& budget);
  Pump send_to_tap(DescriptorChain chain, const TxPacket& packet);
  void send_to_detour(TxPacket& packet);
  void refuse(const DescriptorChain& chain, FrameDefect defect);
  void count_sent(const TxPacket& packet, const TapWrite& result, std::uint64_t started_ns);

  NetConfig config_;
  std::unique_ptr<NetBackend> backend_;
  std::unique_ptr<FrameDetour> detour_;
  EventLoop& loop_;
  const Clock& clock_;
  NetMetrics metrics_;
  std::uint64_t offered_features_;
  std::unique_ptr<RateLimiter> rx_limiter_;
  std::unique_ptr<RateLimiter> tx_limiter_;
  bool watched_ = false;
  std::uint64_t features_ = 0;  // negotiated

  // Receive.
  bool tap_readable_ = true;         // until a read says otherwise: an edge tells only of news
  std::size_t held_bytes_ = 0;       // of the frame that waits in bounce_; 0: none
  std::size_t expected_chains_ = 1;  // what the last frame needed
  VnetHeader rx_header_;             // of the frame that is being received or held
  BatchBudget rx_budget_{0, 0};
  RxChains rx_chains_;
  std::unique_ptr<std::byte[]> bounce_;

  // Transmit.
  bool tap_full_ = false;        // a frame waits until the TAP is writable
  bool detour_was_fed_ = false;  // in this batch
  std::array<std::byte, kMaxDetourFrameBytes> detour_frame_;
};

}  // namespace wisp
