// NetDevice, queue 1: from the driver to the TAP and the detour.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "virtio/net/device.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kNsPerUs = 1000;

}  // namespace

Backlog NetDevice::transmit() {
  VirtQueue& queue = queue_at(kNetTxQueue);
  tap_full_ = false;
  detour_was_fed_ = false;
  BatchBudget budget{queue.size(), kMaxNetBatchBytes};
  const PumpResult end =
      pump_queue(queue, budget, [&](DescriptorChain chain) { return send(std::move(chain), budget); });
  metrics_.no_tx_avail_buffer.add(end.found ? 0 : 1);
  metrics_.tx_remaining_reqs_count.add(queue.backlog_count());
  const Backlog left = conclude(kNetTxQueue, end);
  if (detour_was_fed_) {
    go_on_receiving();  // its answers
  }
  return left;
}

Pump NetDevice::send(DescriptorChain chain, BatchBudget& budget) {
  TxPacket packet = parse_tx_packet(chain, features_);
  if (packet.defect != FrameDefect::None) {
    refuse(chain, packet.defect);
    std::move(chain).complete(0);
    return Pump::Next;
  }
  budget.charge_bytes(packet.frame_bytes);
  if (detour_ && detour_->takes(packet.frame_head())) {
    send_to_detour(packet);
    std::move(chain).complete(0);
    return Pump::Next;
  }
  return send_to_tap(std::move(chain), packet);
}

void NetDevice::refuse(const DescriptorChain& chain, FrameDefect defect) {
  metrics_.tx_malformed_frames.add();
  WISP_LOG_LIMITED(Warn, "%s: refused a frame: %s (%s)", name().c_str(), frame_defect_name(defect),
                   chain_defect_name(chain.defect()));
}

void NetDevice::send_to_detour(TxPacket& packet) {
  const std::span<const std::byte> head = packet.frame_head();
  if (packet.frame_bytes > detour_frame_.size()) {
    metrics_.tx_malformed_frames.add();
    return;
  }
  const std::span<std::byte> frame = std::span(detour_frame_).first(packet.frame_bytes);
  std::ranges::copy(head, frame.begin());
  if (!packet.rest.read_bytes(frame.subspan(head.size()))) {
    metrics_.tx_malformed_frames.add();
    return;
  }
  detour_->receive(frame);
  detour_was_fed_ = true;
}

Pump NetDevice::send_to_tap(DescriptorChain chain, const TxPacket& packet) {
  const Demand demand{.ops = 1, .bytes = packet.frame_bytes};
  if (!tx_limiter_->admits(demand)) {
    metrics_.tx_rate_limiter_throttled.add();
    std::move(chain).put_back();
    return Pump::Stop;
  }
  const std::uint64_t started_ns = clock_.now_ns();
  const TapWrite result = backend_->write_frame(packet.head(), packet.rest);
  if (result.sys_errno == EAGAIN) {
    tap_full_ = true;
    std::move(chain).put_back();
    return Pump::Stop;
  }
  tx_limiter_->charge(demand);
  count_sent(packet, result, started_ns);
  std::move(chain).complete(0);
  return Pump::Next;
}

void NetDevice::count_sent(const TxPacket& packet, const TapWrite& result, std::uint64_t started_ns) {
  if (config_.guest_mac && !std::ranges::equal(packet.source_mac(), std::as_bytes(std::span(*config_.guest_mac)))) {
    metrics_.tx_spoofed_mac_count.add();
  }
  if (result.sys_errno != 0 || result.bytes != kVnetHeaderBytes + packet.frame_bytes) {
    metrics_.tap_write_fails.add();
    metrics_.tx_fails.add();
    WISP_LOG_LIMITED(Warn, "%s: its TAP refused a frame of %u bytes: errno %d", name().c_str(), packet.frame_bytes,
                     result.sys_errno);
    return;
  }
  metrics_.tap_write_agg.record_us((clock_.now_ns() - started_ns) / kNsPerUs);
  metrics_.tx_count.add();
  metrics_.tx_packets_count.add();
  metrics_.tx_bytes_count.add(packet.frame_bytes);
}

}  // namespace wisp
