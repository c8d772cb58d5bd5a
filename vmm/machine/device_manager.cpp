#include "vmm/machine/device_manager.h"

#include "vmm/base/log.h"

namespace wisp {

Status DeviceManager::add_virtio(std::unique_ptr<VirtioDevice> device) {
  if (transports_.size() == arch::kMaxMmioDevices) {
    return Error(ErrorCode::LimitExceeded, "Could not allocate GSI: all " + std::to_string(arch::kMaxMmioDevices) +
                                               " lines for virtio devices are taken. Remove a device");
  }
  const arch::MmioSlot slot = arch::mmio_slot(static_cast<std::uint32_t>(transports_.size()));
  auto transport = WISP_TRY(MmioTransport::create(std::move(device), memory_, loop_));
  (void)WISP_TRY(mmio_.add(slot.address.value(), kMmioWindowSizeBytes, *transport));
  (void)WISP_TRY(kvm_.bind_interrupt(transport->interrupt_event(), slot.gsi));
  (void)WISP_TRY(bind_doorbells(*transport, slot));
  transports_.push_back(std::move(transport));
  return {};
}

Status DeviceManager::bind_doorbells(const MmioTransport& transport, const arch::MmioSlot& slot) {
  const std::uint64_t address = slot.address.value() + kMmioQueueNotifyOffset;
  for (std::uint32_t index = 0; index < transport.queue_count(); ++index) {
    (void)WISP_TRY(kvm_.bind_doorbell(transport.queue_event(index), address, index));
  }
  return {};
}

void DeviceManager::quiesce() {
  for (auto& transport : transports_) {
    transport->quiesce();
  }
}

std::size_t DeviceManager::in_flight_count() const {
  std::size_t count = 0;
  for (const auto& transport : transports_) {
    count += transport->in_flight_count();
  }
  return count;
}

void DeviceManager::resume() {
  for (auto& transport : transports_) {
    transport->resume();
  }
}

void DeviceManager::set_drain_listener(const std::function<void()>& listener) {
  for (auto& transport : transports_) {
    transport->set_drain_listener(listener);
  }
}

}  // namespace wisp
