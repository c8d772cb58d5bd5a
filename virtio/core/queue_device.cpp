#include "virtio/core/queue_device.h"

#include <algorithm>
#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp {

void QueueDevice::write_config(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) {
  counters_.cfg_fails.add();
}

Status QueueDevice::activate(Activation activation) {
  for (std::size_t index = 0; index < queue_count(); ++index) {
    const bool ready = index < activation.queues.size() && activation.queues[index].has_value();
    if (!ready && !may_be_absent(index)) {
      counters_.activate_fails.add();
      return Error(ErrorCode::InvalidArgument,
                   name_ + ": the driver has not made queue " + std::to_string(index) + " ready");
    }
  }
  memory_ = activation.memory;
  interrupt_ = activation.interrupt;
  features_ = activation.negotiated_features;
  queues_ = std::move(activation.queues);
  Status started = on_activate();
  if (!started.ok()) {
    counters_.activate_fails.add();
    reset();
    return started;
  }
  life_ = Life::Active;
  return {};
}

bool QueueDevice::on_queue(std::size_t index) {
  if (life_ != Life::Active || !has_queue(index)) {
    return false;
  }
  return serve(index) == Backlog::Some && life_ == Life::Active;
}

void QueueDevice::quiesce() {
  if (life_ != Life::Inactive) {
    life_ = Life::Quiesced;
    on_quiesce();
  }
}

void QueueDevice::resume() {
  if (life_ != Life::Quiesced) {
    return;
  }
  const bool broken =
      std::ranges::any_of(queues_, [](const std::optional<VirtQueue>& each) { return each && each->fault(); });
  life_ = broken ? Life::Broken : Life::Active;
  on_resume();
}

void QueueDevice::reset() {
  on_reset();
  queues_.clear();
  memory_ = nullptr;
  interrupt_ = nullptr;
  features_ = 0;
  life_ = Life::Inactive;
}

const VirtQueue* QueueDevice::queue(std::size_t index) const {
  return has_queue(index) ? &*queues_[index] : nullptr;
}

void QueueDevice::publish(std::size_t index) {
  if (queue_at(index).publish() == Interrupt::Needed) {
    interrupt_->raise(kInterruptUsedRing);
  }
}

void QueueDevice::break_queue(QueueFault fault) {
  life_ = Life::Broken;
  counters_.event_fails.add();
  WISP_LOG_LIMITED(Error, "%s: the driver broke a queue (%s); it must reset the device", name_.c_str(),
                   queue_fault_name(fault));
  signals_->needs_reset();
}

Backlog QueueDevice::conclude(std::size_t index, const PumpResult& result) {
  publish(index);
  if (result.fault) {
    break_queue(*result.fault);
    return Backlog::None;
  }
  return result.left;
}

void QueueDevice::read_from(std::span<const std::byte> space, std::uint64_t offset, std::span<std::byte> data) {
  if (offset >= space.size()) {
    return;
  }
  const auto rest = space.subspan(offset);
  std::ranges::copy(rest.first(std::min(rest.size(), data.size())), data.begin());
}

}  // namespace wisp
