// NetDevice, queue 0: from the TAP and the detour to the driver.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "virtio/net/device.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr Demand kAnyFrame{.ops = 1, .bytes = 1};

}  // namespace

Backlog NetDevice::receive() {
  VirtQueue& queue = queue_at(kNetRxQueue);
  // A frame needs at most one queue's worth of buffers, so each batch gets on.
  rx_budget_ = {std::size_t{2} * queue.size(), kMaxNetBatchBytes};
  queue.disable_notifications();
  Step step = Step::Next;
  while (step == Step::Next) {
    step = rx_budget_.spent() ? Step::Spent : receive_one();
  }
  publish(kNetRxQueue);
  if (step == Step::Broken) {
    break_queue(*queue.fault());
  }
  return step == Step::Spent ? Backlog::Some : Backlog::None;
}

NetDevice::Step NetDevice::receive_one() {
  if (held_bytes_ != 0 || take_detour_reply()) {
    return deliver({held_bytes_, 0, {bounce_.get(), kMaxRxFrameBytes}});
  }
  return tap_readable_ ? receive_from_tap() : Step::Idle;
}

bool NetDevice::take_detour_reply() {
  if (!detour_) {
    return false;
  }
  const std::size_t frame_bytes = detour_->next_reply({bounce_.get(), kMaxDetourFrameBytes});
  if (frame_bytes == 0) {
    return false;
  }
  WISP_ASSERT(frame_bytes <= kMaxDetourFrameBytes);
  rx_header_ = {};
  held_bytes_ = frame_bytes;
  return true;
}

NetDevice::Step NetDevice::receive_from_tap() {
  if (!rx_limiter_->admits(kAnyFrame)) {
    metrics_.rx_rate_limiter_throttled.add();
    return Step::Idle;
  }
  const Step gathered = gather();
  return gathered == Step::Next ? read_tap() : gathered;
}

/// At least one buffer, and as many as the last frame needed if they are there.
NetDevice::Step NetDevice::gather() {
  while (rx_chains_.count() < expected_chains_) {
    Popped popped = pop_rx();
    if (const Step* end = std::get_if<Step>(&popped)) {
      if (!rx_chains_.empty()) {
        return Step::Next;
      }
      metrics_.no_rx_avail_buffer.add(*end == Step::NoBuffers ? 1 : 0);
      return *end;
    }
    auto& chain = std::get<DescriptorChain>(popped);
    if (rx_chains_.accepts(chain)) {
      rx_chains_.push(std::move(chain));
    } else if (rx_chains_.empty()) {
      metrics_.rx_fails.add();
      std::move(chain).complete(0);
    } else {
      std::move(chain).put_back();  // met again when the frame needs it, or as the first
      return Step::Next;
    }
  }
  return Step::Next;
}

/// NoBuffers comes with kicks enabled, as of now: whatever is popped at this moment may be put back afterwards, and
/// only a buffer that is new makes the driver kick.
NetDevice::Popped NetDevice::pop_rx() {
  VirtQueue& queue = queue_at(kNetRxQueue);
  while (!rx_budget_.spent()) {
    --rx_budget_.requests;
    PopResult popped = queue.pop();
    if (auto* chain = std::get_if<DescriptorChain>(&popped)) {
      return std::move(*chain);
    }
    if (std::holds_alternative<QueueFault>(popped)) {
      return Step::Broken;
    }
    if (queue.enable_notifications() == Backlog::None) {
      return Step::NoBuffers;
    }
    queue.disable_notifications();
  }
  return Step::Spent;
}

NetDevice::Step NetDevice::read_tap() {
  const std::span<std::byte> bounce(bounce_.get(), kMaxRxFrameBytes);
  const TapRead got =
      backend_->read_frame(std::as_writable_bytes(std::span(&rx_header_, 1)), rx_chains_.targets(), bounce);
  if (got.sys_errno != 0) {
    return end_of_tap(got.sys_errno);
  }
  metrics_.rx_count.add();
  if (got.bytes < kVnetHeaderBytes + kEthernetHeaderBytes) {
    rx_chains_.put_back_all();
    metrics_.tap_read_fails.add();
    return Step::Next;
  }
  const std::size_t frame_bytes = got.bytes - kVnetHeaderBytes;
  rx_limiter_->charge({.ops = 1, .bytes = frame_bytes});
  return deliver({frame_bytes, got.direct_bytes, bounce});
}

/// After a failure the TAP may hold frames of which no edge tells any more, so the driver's next kick tries again.
NetDevice::Step NetDevice::end_of_tap(int sys_errno) {
  if (sys_errno == EAGAIN) {
    tap_readable_ = false;
  } else {
    metrics_.tap_read_fails.add();
    WISP_LOG_LIMITED(Error, "%s: cannot read from its TAP: errno %d", name().c_str(), sys_errno);
    (void)queue_at(kNetRxQueue).enable_notifications();  // before the chains go back: see pop_rx()
  }
  rx_chains_.put_back_all();
  return Step::Idle;
}

/// Section 5.1.4.1: with MTU negotiated, no longer frame may reach the driver unless it is to be segmented. A VLAN tag
/// is part of the Ethernet header.
bool NetDevice::driver_may_get(const RxFrame& frame) const {
  const bool limited = negotiated(net_feature::kMtu) && rx_header_.gso_type == vnet::kGsoNone;
  const std::size_t longest_bytes = limited ? *config_.mtu + kEthernetHeaderBytes + kVlanTagBytes : kMaxRxFrameBytes;
  return frame.bytes >= kEthernetHeaderBytes && frame.bytes <= longest_bytes && driver_takes(rx_header_, features_);
}

NetDevice::Step NetDevice::deliver(RxFrame frame) {
  if (!driver_may_get(frame)) {
    return drop_frame();
  }
  const Step room = make_room(frame);
  if (room != Step::Next) {
    return room == Step::Idle ? Step::Next : room;  // Idle: the frame was dropped
  }
  rx_chains_.put_back_surplus(frame.bytes);
  expected_chains_ = rx_chains_.count();
  rx_chains_.complete(header_for_driver(), frame);
  held_bytes_ = 0;
  rx_budget_.charge_bytes(frame.bytes);
  metrics_.rx_packets_count.add();
  metrics_.rx_bytes_count.add(frame.bytes);
  return Step::Next;
}

/// Gathers until the frame fits. Next: it does; Idle: it was dropped, because it cannot; another: it is held.
NetDevice::Step NetDevice::make_room(RxFrame& frame) {
  while (rx_chains_.empty() || rx_chains_.capacity_bytes() < frame.bytes) {
    const bool single = !rx_chains_.empty() && !negotiated(net_feature::kMergeBuffers);
    if (single) {
      rx_chains_.return_empty();  // section 5.1.6.3.1: the driver posts buffers that are large enough, or loses frames
      (void)drop_frame();
      return Step::Idle;
    }
    if (rx_chains_.count() == queue_at(kNetRxQueue).size()) {
      (void)drop_frame();  // the whole ring together is too small, so it would wait for ever
      return Step::Idle;
    }
    Popped popped = pop_rx();
    if (const Step* end = std::get_if<Step>(&popped)) {
      return hold(frame, *end);
    }
    auto& chain = std::get<DescriptorChain>(popped);
    if (rx_chains_.accepts(chain)) {
      rx_chains_.push(std::move(chain));
      continue;
    }
    // The buffers of a frame follow each other in the used ring, so those before the bad one go back empty, too.
    metrics_.rx_fails.add();
    rx_chains_.salvage(frame);
    rx_chains_.return_empty();
    std::move(chain).complete(0);
  }
  return Step::Next;
}

NetDevice::Step NetDevice::hold(RxFrame& frame, Step reason) {
  rx_chains_.salvage(frame);
  rx_chains_.put_back_all();
  held_bytes_ = frame.bytes;
  metrics_.no_rx_avail_buffer.add(reason == Step::NoBuffers ? 1 : 0);
  return reason;
}

NetDevice::Step NetDevice::drop_frame() {
  rx_chains_.put_back_all();
  held_bytes_ = 0;
  metrics_.rx_fails.add();
  return Step::Next;
}

/// Section 5.1.6.4.1: no flag that the driver did not ask for; the kernel marks checksums that it has checked.
VnetHeader NetDevice::header_for_driver() const {
  VnetHeader header = rx_header_;
  const bool knows_flags = negotiated(net_feature::kGuestCsum);
  header.flags &= knows_flags ? vnet::kNeedsCsum | vnet::kDataValid : 0;
  return header;
}

}  // namespace wisp
