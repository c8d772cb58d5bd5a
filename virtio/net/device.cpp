#include "virtio/net/device.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

/// Section 5.1.4, up to the last field whose feature may be offered.
struct NetConfigSpace {
  std::array<std::uint8_t, kMacBytes> mac{};
  Le16 status;
  Le16 max_virtqueue_pairs;
  Le16 mtu;
};
static_assert(sizeof(NetConfigSpace) == 12 && offsetof(NetConfigSpace, mtu) == 10);

struct OffloadFeature {
  std::uint32_t offload;
  std::uint64_t feature;
};

/// What the guest may take unfinished, and what the TAP must know for that.
constexpr std::array<OffloadFeature, 5> kGuestOffloads = {{
    {offload::kCsum, net_feature::kGuestCsum},
    {offload::kTso4, net_feature::kGuestTso4},
    {offload::kTso6, net_feature::kGuestTso6},
    {offload::kUfo, net_feature::kGuestUfo},
    {offload::kUso, net_feature::kGuestUso4 | net_feature::kGuestUso6},
}};

std::uint64_t features_of(const NetConfig& config, std::uint32_t known_offloads) {
  std::uint64_t features = feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors |
                           net_feature::kCsum | net_feature::kHostTso4 | net_feature::kHostTso6 |
                           net_feature::kHostUfo | net_feature::kMergeBuffers;
  for (const OffloadFeature& each : kGuestOffloads) {
    features |= (known_offloads & each.offload) == each.offload ? each.feature : 0;
  }
  // A kernel that can make such segments can take them apart, too.
  features |= (known_offloads & offload::kUso) == offload::kUso ? net_feature::kHostUso : 0;
  features |= config.guest_mac ? net_feature::kMac : 0;
  features |= config.mtu ? net_feature::kMtu : 0;
  return features;
}

/// Section 5.1.3.1: nothing without GUEST_CSUM. A driver that breaks the rule gets whole frames.
std::uint32_t offloads_for(std::uint64_t features) {
  if ((features & net_feature::kGuestCsum) == 0) {
    return 0;
  }
  std::uint32_t offloads = 0;
  for (const OffloadFeature& each : kGuestOffloads) {
    offloads |= (features & each.feature) == each.feature ? each.offload : 0;
  }
  return offloads;
}

}  // namespace

Result<std::unique_ptr<NetDevice>> NetDevice::create(const NetConfig& config, Tap tap,
                                                     std::unique_ptr<FrameDetour> detour, EventLoop& loop) {
  static const MonotonicClock kClock;
  return create(config, std::make_unique<Tap>(std::move(tap)), std::move(detour), loop, kClock);
}

Result<std::unique_ptr<NetDevice>> NetDevice::create(const NetConfig& config, std::unique_ptr<NetBackend> backend,
                                                     std::unique_ptr<FrameDetour> detour, EventLoop& loop,
                                                     const Clock& clock) {
  if (config.mtu && *config.mtu < kMinMtuBytes) {
    return Error(ErrorCode::InvalidArgument, "network interface " + config.iface_id + ": an MTU of " +
                                                 std::to_string(*config.mtu) + " is below the smallest one, " +
                                                 std::to_string(kMinMtuBytes));
  }
  auto device = std::make_unique<NetDevice>(PrivateTag{}, config, std::move(backend), std::move(detour), loop, clock);
  (void)WISP_TRY(device->connect());
  return device;
}

NetDevice::NetDevice(PrivateTag /*tag*/, const NetConfig& config, std::unique_ptr<NetBackend> backend,
                     std::unique_ptr<FrameDetour> detour, EventLoop& loop, const Clock& clock)
    : QueueDevice("network interface " + config.iface_id,
                  {metrics_.activate_fails, metrics_.cfg_fails, metrics_.event_fails}),
      config_(config),
      backend_(std::move(backend)),
      detour_(std::move(detour)),
      loop_(loop),
      clock_(clock),
      offered_features_(features_of(config_, backend_->known_offloads())),
      // Not initialised: pages that no frame needs stay unallocated.
      bounce_(std::make_unique_for_overwrite<std::byte[]>(kMaxRxFrameBytes)) {}

Status NetDevice::connect() {
  rx_limiter_ = WISP_TRY(RateLimiter::create(config_.rx_limits, loop_, clock_, [this] {
    metrics_.rx_event_rate_limiter_count.add();
    go_on_receiving();
  }));
  tx_limiter_ = WISP_TRY(RateLimiter::create(config_.tx_limits, loop_, clock_, [this] {
    metrics_.tx_rate_limiter_event_count.add();
    go_on_transmitting();
  }));
  (void)WISP_TRY(loop_.watch(backend_->event_fd(), Interest::BothEdge, *this));
  watched_ = true;
  if (detour_) {
    detour_->set_wake([this] { go_on_receiving(); });
  }
  return {};
}

NetDevice::~NetDevice() {
  reset();
  if (watched_) {
    loop_.unwatch(backend_->event_fd(), *this);
  }
  if (detour_) {
    detour_->set_wake({});
  }
}

void NetDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  NetConfigSpace space;
  space.mac = config_.guest_mac.value_or(MacAddress{});
  space.mtu = config_.mtu.value_or(0);
  read_from(std::as_bytes(std::span(&space, 1)), offset, data);
}

void NetDevice::update_limits(const NetPatch& patch) {
  rx_limiter_->update(patch.rx_limits);
  tx_limiter_->update(patch.tx_limits);
}

// ---------------------------------------------------------------------------------------------------------------------
// Life.

Status NetDevice::on_activate() {
  features_ = 0;
  for (std::uint64_t bit = 1; bit != 0; bit <<= 1U) {
    features_ |= negotiated(bit) ? bit : 0;
  }
  return backend_->set_offloads(offloads_for(features_));
}

void NetDevice::on_quiesce() {
  rx_limiter_->cancel_wait();
  tx_limiter_->cancel_wait();
  if (detour_) {
    detour_->pause();
  }
}

void NetDevice::on_resume() {
  // The transport has both queues looked at: what the limiters and the TAP would have called for is tried then.
  if (detour_) {
    detour_->resume();
  }
}

void NetDevice::on_reset() {
  held_bytes_ = 0;
  expected_chains_ = 1;
  tap_readable_ = true;
  tap_full_ = false;
  if (rx_limiter_ && tx_limiter_) {
    rx_limiter_->cancel_wait();
    tx_limiter_->cancel_wait();
  }
  if (detour_) {
    detour_->reset();
    if (quiesced()) {
      detour_->resume();  // what comes after a reset is a running device
    }
  }
  if (const Status cleared = backend_->set_offloads(0); !cleared.ok()) {
    WISP_LOG_LIMITED(Warn, "%s: %s", name().c_str(), cleared.error().text().c_str());
  }
}

void NetDevice::save(StateWriter& out) const {
  rx_limiter_->save(out);
  tx_limiter_->save(out);
  out.raw(std::as_bytes(std::span(&rx_header_, 1)));
  out.bytes({bounce_.get(), held_bytes_});
}

Status NetDevice::restore(StateReader& in) {
  (void)WISP_TRY(rx_limiter_->restore(in));
  (void)WISP_TRY(tx_limiter_->restore(in));
  std::array<std::byte, kVnetHeaderBytes> header{};
  in.raw(header);
  const auto frame = in.bytes(kMaxRxFrameBytes);
  (void)WISP_TRY(in.check(frame.empty() || frame.size() >= kEthernetHeaderBytes, "a frame shorter than its header"));
  std::memcpy(&rx_header_, header.data(), header.size());
  std::ranges::copy(frame, bounce_.get());
  held_bytes_ = frame.size();
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Events.

Backlog NetDevice::serve(std::size_t index) {
  if (index == kNetRxQueue) {
    metrics_.rx_queue_event_count.add();
    return receive();
  }
  metrics_.tx_queue_event_count.add();
  return transmit();
}

void NetDevice::on_event(std::uint32_t events) {
  constexpr std::uint32_t kFailed = EPOLLERR | EPOLLHUP;
  if ((events & (EPOLLIN | kFailed)) != 0) {
    metrics_.rx_tap_event_count.add();
    tap_readable_ = true;
    go_on_receiving();
  }
  if ((events & (EPOLLOUT | kFailed)) != 0 && tap_full_) {
    go_on_transmitting();
  }
}

void NetDevice::go_on_receiving() {
  if (active() && receive() == Backlog::Some && active()) {
    signals().look_again(kNetRxQueue);
  }
}

void NetDevice::go_on_transmitting() {
  if (active() && transmit() == Backlog::Some && active()) {
    signals().look_again(kNetTxQueue);
  }
}

}  // namespace wisp
