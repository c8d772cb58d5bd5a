#include "virtio/vsock/device.h"

#include <array>
#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

/// Section 6: the device uses buffers in the order in which they were made available.
constexpr std::uint64_t kInOrder = std::uint64_t{1} << 35U;
/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (section 5.10.6.7).
constexpr std::array<std::byte, 4> kTransportResetEvent{};

}  // namespace

Result<std::unique_ptr<VsockDevice>> VsockDevice::create(const VsockConfig& config, VsockListener listener,
                                                         EventLoop& loop, const Clock& clock) {
  auto device = std::make_unique<VsockDevice>(PrivateTag{}, config.guest_cid, std::make_unique<VsockMetrics>());
  device->mux_ = WISP_TRY(VsockMux::create(config, std::move(listener), loop, clock, *device->metrics_, *device));
  return device;
}

VsockDevice::VsockDevice(PrivateTag /*tag*/, std::uint32_t guest_cid, std::unique_ptr<VsockMetrics> metrics)
    : QueueDevice("vsock", {metrics->activate_fails, metrics->cfg_fails, metrics->ev_queue_event_fails}),
      guest_cid_(guest_cid),
      metrics_(std::move(metrics)) {}

VsockDevice::~VsockDevice() {
  reset();
}

std::uint64_t VsockDevice::offered_features() const {
  return feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors | kInOrder;
}

void VsockDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const Le64 guest_cid(guest_cid_);
  read_from(std::as_bytes(std::span(&guest_cid, 1)), offset, data);
}

// ---------------------------------------------------------------------------------------------------------------------
// Life.

Status VsockDevice::on_activate() {
  event_buffers_.reserve(queue_at(kEventQueue).size());
  return mux_->start();
}

void VsockDevice::on_quiesce() {
  mux_->pause();
}

void VsockDevice::on_resume() {
  if (active()) {
    mux_->resume();
  }
}

void VsockDevice::on_reset() {
  if (mux_) {
    mux_->stop();
  }
  transmit_stopped_ = false;
  transport_reset_ = TransportReset::None;
  event_buffer_count_ = 0;
}

void VsockDevice::save(StateWriter& out) const {
  out.u64(guest_cid_);
  out.boolean(queue(kEventQueue) != nullptr);
  out.u32(mux_->next_host_port());
}

Status VsockDevice::restore(StateReader& in) {
  const std::uint64_t guest_cid = in.u64();
  const bool was_live = in.boolean();
  const std::uint32_t next_host_port = in.u32();
  (void)WISP_TRY(in.check(guest_cid == guest_cid_, "the guest has another CID now"));
  (void)WISP_TRY(
      in.check(next_host_port >= kFirstHostPort && next_host_port < kEndHostPort, "a host port out of range"));
  mux_->set_next_host_port(next_host_port);
  transport_reset_ = was_live ? TransportReset::Owed : TransportReset::None;
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Queues.

Backlog VsockDevice::serve(std::size_t index) {
  mux_->expire();
  switch (index) {
    case kReceiveQueue: metrics_->rx_queue_event_count.add(); return finish(serve_receive());
    case kTransmitQueue: metrics_->tx_queue_event_count.add(); return finish(serve_transmit());
    default: return finish(serve_event());
  }
}

void VsockDevice::on_work() {
  if (active() && finish(serve_receive()) == Backlog::Some) {
    signals().look_again(kReceiveQueue);
  }
}

/// A broken device keeps no host program waiting.
Backlog VsockDevice::finish(Backlog left) {
  if (!active()) {
    mux_->stop();
    return Backlog::None;
  }
  return left;
}

Backlog VsockDevice::serve_transmit() {
  transmit_stopped_ = false;
  VirtQueue& queue = queue_at(kTransmitQueue);
  BatchBudget budget{queue.size(), kMaxVsockBatchBytes};
  const PumpResult end = pump_queue(queue, budget, [&](DescriptorChain chain) {
    if (!mux_->takes_packets()) {
      std::move(chain).put_back();
      transmit_stopped_ = true;
      return Pump::Stop;
    }
    const VsockPacket packet = parse_tx_packet(chain);
    budget.charge_bytes(packet.header.length);
    mux_->from_guest(packet);
    std::move(chain).complete(0);
    return Pump::Next;
  });
  const Backlog left = conclude(kTransmitQueue, end);
  if (active() && serve_receive() == Backlog::Some) {
    signals().look_again(kReceiveQueue);
  }
  return left;
}

Backlog VsockDevice::serve_receive() {
  VirtQueue& queue = queue_at(kReceiveQueue);
  if (transport_reset_ != TransportReset::None || !mux_->has_work()) {
    queue.disable_notifications();  // buffers that nobody needs yet: the next packet finds them by itself
    return Backlog::None;
  }
  BatchBudget budget{queue.size(), kMaxVsockBatchBytes};
  const PumpResult end =
      pump_queue(queue, budget, [&](DescriptorChain chain) { return fill(std::move(chain), budget); });
  const Backlog left = conclude(kReceiveQueue, end);
  if (transmit_stopped_ && active() && mux_->takes_packets()) {
    transmit_stopped_ = false;
    signals().look_again(kTransmitQueue);
  }
  return left;
}

Pump VsockDevice::fill(DescriptorChain chain, BatchBudget& budget) {
  const ChainWriter target = chain.writer();
  if (chain.defect() != ChainDefect::None || target.size_bytes() < kVsockHeaderBytes) {
    metrics_->rx_queue_event_fails.add();
    WISP_LOG_LIMITED(Warn, "vsock: a receive buffer of no use: %s", chain_defect_name(chain.defect()));
    std::move(chain).complete(0);
    return Pump::Next;
  }
  const std::uint32_t written_bytes = mux_->next_packet(target);
  if (written_bytes == 0) {
    std::move(chain).put_back();
    return Pump::Stop;
  }
  budget.charge_bytes(written_bytes);
  std::move(chain).complete(written_bytes);
  return mux_->has_work() ? Pump::Next : Pump::Stop;
}

// ---------------------------------------------------------------------------------------------------------------------
// The event queue.

Backlog VsockDevice::serve_event() {
  if (transport_reset_ == TransportReset::None) {
    queue_at(kEventQueue).disable_notifications();
    return Backlog::None;
  }
  std::optional<QueueFault> fault;
  if (transport_reset_ == TransportReset::Owed) {
    fault = tell_transport_reset();
  } else {
    const std::size_t before = event_buffer_count_;
    fault = count_event_buffers();
    if (!fault && event_buffer_count_ > before) {
      transport_reset_ = TransportReset::None;
      on_work();
    }
  }
  return active() ? conclude(kEventQueue, {.fault = fault}) : Backlog::None;
}

std::optional<QueueFault> VsockDevice::tell_transport_reset() {
  BatchBudget budget{queue_at(kEventQueue).size(), kMaxVsockBatchBytes};
  const PumpResult end = pump_queue(queue_at(kEventQueue), budget, [&](DescriptorChain chain) {
    ChainWriter target = chain.writer();
    const bool fits = chain.defect() == ChainDefect::None && target.write_bytes(kTransportResetEvent);
    std::move(chain).complete(fits ? std::uint32_t{kTransportResetEvent.size()} : 0);
    if (!fits) {
      metrics_->ev_queue_event_fails.add();
      return Pump::Next;
    }
    transport_reset_ = TransportReset::Told;
    return Pump::Stop;
  });
  if (end.fault || transport_reset_ == TransportReset::Owed) {
    return end.fault;
  }
  return count_event_buffers();
}

// The driver shows that it has taken the event by posting a buffer again. With EVENT_IDX it kicks only when its index
// passes ours, so ours has to stand at the end of what it has posted: everything is popped, and put back.
std::optional<QueueFault> VsockDevice::count_event_buffers() {
  BatchBudget budget{queue_at(kEventQueue).size() + std::size_t{1}, kMaxVsockBatchBytes};
  const PumpResult end = pump_queue(queue_at(kEventQueue), budget, [this](DescriptorChain chain) {
    event_buffers_.push_back(std::move(chain));
    return Pump::Next;
  });
  event_buffer_count_ = event_buffers_.size();
  while (!event_buffers_.empty()) {
    std::move(event_buffers_.back()).put_back();
    event_buffers_.pop_back();
  }
  return end.fault;
}

}  // namespace wisp
