// What a snapshot keeps of a transport: the registers, and where each live ring stands.
#include <algorithm>
#include <array>

#include "virtio/core/device_status.h"
#include "virtio/core/mmio_transport.h"
#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"

namespace wisp {
namespace {

constexpr std::uint32_t kInterruptBits = kInterruptUsedRing | kInterruptConfiguration;

/// The states that a driver can bring a device into, FAILED left out.
bool is_status(std::uint32_t value) {
  constexpr std::array kStates = {status::kReset, status::kFound, status::kNegotiating, status::kConfiguring,
                                  status::kLive};
  return std::ranges::find(kStates, value & ~status::kFailed) != kStates.end();
}

}  // namespace

void MmioTransport::save(StateWriter& out) {
  WISP_ASSERT(pace_ == Pace::Quiesced && device_->in_flight_count() == 0);
  const std::lock_guard lock(registers_mutex_);
  out.u32(static_cast<std::uint32_t>(device_->type()));
  out.u32(status_);
  out.u32(device_features_page_);
  out.u32(driver_features_page_);
  out.u64(driver_features_);
  out.boolean(unknown_features_page_);
  out.u32(queue_select_);
  out.u32(config_generation_.load(std::memory_order_acquire));
  out.u32(interrupt_->status());
  out.boolean(needs_reset_.load(std::memory_order_acquire));
  for (const QueueConfig& queue : queues_) {
    queue.save(out);
  }
  out.boolean(life_ == DeviceLife::Active);
  for (std::size_t index = 0; index < queues_.size(); ++index) {
    const VirtQueue* queue = device_->queue(index);
    out.boolean(queue != nullptr);
    out.u16(queue != nullptr ? queue->next_available() : 0);
    out.u16(queue != nullptr ? queue->next_used() : 0);
  }
}

Status MmioTransport::restore(StateReader& in) {
  WISP_ASSERT(life_ == DeviceLife::Inactive && status_ == status::kReset);
  pace_ = Pace::Quiesced;
  (void)WISP_TRY(restore_registers(in));
  return activate_restored(in);
}

Status MmioTransport::restore_registers(StateReader& in) {
  const std::uint32_t type = in.u32();
  (void)WISP_TRY(in.check(type == static_cast<std::uint32_t>(device_->type()), "the device is of another type"));
  const std::lock_guard lock(registers_mutex_);
  status_ = in.u32();
  device_features_page_ = in.u32();
  driver_features_page_ = in.u32();
  driver_features_ = in.u64();
  unknown_features_page_ = in.boolean();
  queue_select_ = in.u32();
  config_generation_.store(in.u32(), std::memory_order_release);
  const std::uint32_t interrupt_status = in.u32();
  const bool needs_reset = in.boolean();
  (void)WISP_TRY(in.check(is_status(status_), "a device status that no driver can write"));
  (void)WISP_TRY(in.check((interrupt_status & ~kInterruptBits) == 0, "an interrupt status with unknown bits"));
  const bool negotiated = (status_ & status::kFeaturesOk) != 0;
  (void)WISP_TRY(in.check(!negotiated || features_acceptable(),
                          "the driver uses features that this device does not offer (was the device configured "
                          "otherwise?)"));
  interrupt_->clear();
  interrupt_->restore(interrupt_status);
  needs_reset_.store(needs_reset, std::memory_order_release);
  for (QueueConfig& queue : queues_) {
    (void)WISP_TRY(queue.restore(in, *memory_));
  }
  return {};
}

Status MmioTransport::activate_restored(StateReader& in) {
  const bool active = in.boolean();
  (void)WISP_TRY(in.check(!active || (status_ & status::kDriverOk) != 0, "a live device without DRIVER_OK"));
  Activation activation{memory_, interrupt_.get(), driver_features_, {}};
  for (std::size_t index = 0; index < queues_.size(); ++index) {
    auto queue = active ? queues_[index].activate(*memory_, driver_features_) : std::nullopt;
    const bool was_live = in.boolean();
    const std::uint16_t next_available = in.u16();
    const std::uint16_t next_used = in.u16();
    (void)WISP_TRY(in.check(was_live == queue.has_value(), "a live queue that is not ready"));
    if (queue) {
      queue->continue_at(next_available, next_used);
    }
    live_queues_[index] = queue.has_value();
    activation.queues.push_back(std::move(queue));
  }
  (void)WISP_TRY(in.finish());
  if (!active) {
    return {};
  }
  std::ranges::copy(queues_, handed_queues_.begin());
  handed_features_ = driver_features_;
  (void)WISP_TRY(device_->activate(std::move(activation)));
  life_ = DeviceLife::Active;
  device_->quiesce();
  return {};
}

}  // namespace wisp
