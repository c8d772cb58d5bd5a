// The register side of MmioTransport: what runs on vCPU threads.
#include <algorithm>
#include <array>
#include <bit>

#include "virtio/core/device_status.h"
#include "virtio/core/mmio_registers.h"
#include "virtio/core/mmio_transport.h"
#include "virtio/core/ring_layout.h"
#include "vmm/base/endian.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint32_t kMagic = 0x74726976;  // "virt"
constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kVendor = 0;
// Section 4.2.2: length and base of a region that does not exist.
constexpr std::uint32_t kNoSharedMemory = 0xffff'ffff;
constexpr unsigned kFeaturesPageBits = 32;
constexpr std::uint32_t kFeaturesPageCount = 2;
constexpr std::size_t kRegisterWidthBytes = 4;
static_assert(find_mmio_register(kMmioQueueNotifyOffset)->id == MmioRegisterId::QueueNotify);

}  // namespace

void MmioTransport::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  if (offset >= kMmioConfigOffset) {
    read_config(offset - kMmioConfigOffset, data);
    return;
  }
  const MmioRegister* reg = data.size() == kRegisterWidthBytes ? find_mmio_register(offset) : nullptr;
  if (reg == nullptr || !reg->readable()) {
    metrics_.bad_access_count.add();
    return;
  }
  std::uint32_t value = 0;
  if (reg->id == MmioRegisterId::InterruptStatus) {
    value = interrupt_->status();
  } else {
    const std::lock_guard lock(registers_mutex_);
    value = read_register(*reg);
  }
  const Le32 wire = value;
  std::ranges::copy(std::as_bytes(std::span(&wire, 1)), data.begin());
}

void MmioTransport::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kMmioConfigOffset) {
    write_config(offset - kMmioConfigOffset, data);
    return;
  }
  const MmioRegister* reg = data.size() == kRegisterWidthBytes ? find_mmio_register(offset) : nullptr;
  if (reg == nullptr || !reg->writable()) {
    metrics_.bad_access_count.add();
    WISP_LOG_LIMITED(Debug, "virtio-mmio: ignored a write of %zu bytes at register offset %#llx", data.size(),
                     static_cast<unsigned long long>(offset));
    return;
  }
  std::array<std::byte, kRegisterWidthBytes> bytes;
  std::ranges::copy(data, bytes.begin());
  const std::uint32_t value = std::bit_cast<Le32>(bytes);
  switch (reg->id) {
    case MmioRegisterId::InterruptAck: interrupt_->acknowledge(value); return;
    case MmioRegisterId::QueueNotify: write_notify(value); return;
    default: break;
  }
  const std::lock_guard lock(registers_mutex_);
  write_register(*reg, value);
}

std::uint32_t MmioTransport::read_register(const MmioRegister& reg) {
  switch (reg.id) {
    case MmioRegisterId::Magic: return kMagic;
    case MmioRegisterId::Version: return kVersion;
    case MmioRegisterId::DeviceId: return static_cast<std::uint32_t>(device_->type());
    case MmioRegisterId::Vendor: return kVendor;
    case MmioRegisterId::DeviceFeatures: return device_features_page();
    case MmioRegisterId::QueueNumMax: return selected_queue() == nullptr ? 0 : kMaxQueueSize;
    case MmioRegisterId::QueueReady: {
      const QueueConfig* queue = selected_queue();
      return queue != nullptr && queue->ready() ? 1 : 0;
    }
    case MmioRegisterId::DeviceStatus: return status_with_device_bits();
    case MmioRegisterId::SharedMemoryRange: return kNoSharedMemory;
    case MmioRegisterId::ConfigGeneration: return config_generation_.load(std::memory_order_acquire);
    default: return 0;
  }
}

void MmioTransport::write_register(const MmioRegister& reg, std::uint32_t value) {
  switch (reg.id) {
    case MmioRegisterId::DeviceFeaturesSelect: device_features_page_ = value; return;
    case MmioRegisterId::DriverFeaturesSelect: driver_features_page_ = value; return;
    case MmioRegisterId::DriverFeatures: write_driver_features(value); return;
    case MmioRegisterId::QueueSelect: queue_select_ = value; return;
    case MmioRegisterId::DeviceStatus: write_status(value); return;
    case MmioRegisterId::SharedMemorySelect: return;
    default: write_queue_register(reg, value); return;
  }
}

std::uint32_t MmioTransport::status_with_device_bits() const {
  return status_ | (needs_reset_.load(std::memory_order_acquire) ? status::kNeedsReset : 0);
}

std::uint32_t MmioTransport::device_features_page() const {
  if (device_features_page_ >= kFeaturesPageCount) {
    return 0;
  }
  return static_cast<std::uint32_t>(device_->offered_features() >> (device_features_page_ * kFeaturesPageBits));
}

void MmioTransport::write_driver_features(std::uint32_t value) {
  // Section 3.1.1: features are chosen after DRIVER and before FEATURES_OK; section 2.2.1: never changed later.
  if (status_ != status::kNegotiating) {
    metrics_.refused_write_count.add();
    return;
  }
  if (driver_features_page_ >= kFeaturesPageCount) {
    unknown_features_page_ = unknown_features_page_ || value != 0;
    return;
  }
  const unsigned shift = driver_features_page_ * kFeaturesPageBits;
  driver_features_ &= ~(std::uint64_t{0xffff'ffff} << shift);
  driver_features_ |= std::uint64_t{value} << shift;
}

QueueConfig* MmioTransport::selected_queue() {
  return queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
}

void MmioTransport::write_queue_register(const MmioRegister& reg, std::uint32_t value) {
  QueueConfig* queue = selected_queue();
  // Section 3.1.1 step 7: queues are set up between FEATURES_OK and DRIVER_OK. What is live cannot be changed.
  if (queue == nullptr || status_ != status::kConfiguring) {
    metrics_.refused_write_count.add();
    return;
  }
  switch (reg.id) {
    case MmioRegisterId::QueueNum: queue->set_size(value); return;
    case MmioRegisterId::QueueReady: write_queue_ready(*queue, value); return;
    case MmioRegisterId::QueueDescLow: queue->set_address(QueuePart::DescriptorTable, AddressHalf::Low, value); return;
    case MmioRegisterId::QueueDescHigh:
      queue->set_address(QueuePart::DescriptorTable, AddressHalf::High, value);
      return;
    case MmioRegisterId::QueueDriverLow: queue->set_address(QueuePart::AvailableRing, AddressHalf::Low, value); return;
    case MmioRegisterId::QueueDriverHigh:
      queue->set_address(QueuePart::AvailableRing, AddressHalf::High, value);
      return;
    case MmioRegisterId::QueueDeviceLow: queue->set_address(QueuePart::UsedRing, AddressHalf::Low, value); return;
    case MmioRegisterId::QueueDeviceHigh: queue->set_address(QueuePart::UsedRing, AddressHalf::High, value); return;
    default: return;
  }
}

void MmioTransport::write_queue_ready(QueueConfig& queue, std::uint32_t value) {
  if (value == 0) {
    queue.make_unready();
    return;
  }
  if (value != 1 || queue.make_ready(*memory_) != QueueConfigDefect::None) {
    metrics_.refused_write_count.add();
    WISP_LOG_LIMITED(Warn,
                     "virtio-mmio: the driver set up a queue with a bad size or address; it does not become ready");
  }
}

void MmioTransport::write_notify(std::uint32_t value) {
  if (value >= queue_bells_.size()) {
    metrics_.refused_write_count.add();
    return;
  }
  queue_bells_[value]->ring();
}

bool MmioTransport::features_acceptable() const {
  // Section 2.2.1: a driver must not accept what was not offered; section 6.1: VERSION_1 must be accepted.
  return !unknown_features_page_ && (driver_features_ & ~device_->offered_features()) == 0 &&
         (driver_features_ & feature::kVersion1) != 0;
}

void MmioTransport::write_status(std::uint32_t value) {
  switch (status_step(status_, value)) {
    case StatusStep::Keep: return;
    case StatusStep::Advance: status_ = value & ~status::kNeedsReset; return;
    case StatusStep::CheckFeatures:
      if (features_acceptable()) {
        status_ = status::kConfiguring;
      } else {
        metrics_.refused_features_count.add();
        WISP_LOG_LIMITED(Warn, "virtio-mmio: FEATURES_OK refused, the driver accepted %#llx of %#llx",
                         static_cast<unsigned long long>(driver_features_),
                         static_cast<unsigned long long>(device_->offered_features()));
      }
      return;
    case StatusStep::Activate:
      status_ = status::kLive;
      hand_over_activation();
      return;
    case StatusStep::Fail: status_ |= status::kFailed; return;
    case StatusStep::Reset: reset_from_driver(); return;
    case StatusStep::Ignore:
      metrics_.refused_status_count.add();
      WISP_LOG_LIMITED(Debug, "virtio-mmio: ignored status %#x written over %#x", value, status_);
      return;
  }
}

void MmioTransport::hand_over_activation() {
  // The loop does not read these before it takes the hand-over, and nobody writes them again before a reset.
  std::ranges::copy(queues_, handed_queues_.begin());
  handed_features_ = driver_features_;
  handover_.store(Handover::Activate, std::memory_order_release);
  handover_bell_->ring();
}

void MmioTransport::reset_from_driver() {
  metrics_.reset_count.add();
  if ((status_ & status::kDriverOk) == 0) {
    interrupt_->clear();
    clear_registers();  // the device never went live: there is nothing to wait for
    return;
  }
  std::unique_lock lock(rendezvous_mutex_);
  const std::uint64_t before = resets_done_;
  // Replaces an activation that the loop has not taken yet.
  handover_.store(Handover::Reset, std::memory_order_release);
  handover_bell_->ring();
  rendezvous_.wait(lock, [&] { return resets_done_ != before; });
  clear_registers();
}

void MmioTransport::clear_registers() {
  status_ = status::kReset;
  device_features_page_ = 0;
  driver_features_page_ = 0;
  driver_features_ = 0;
  unknown_features_page_ = false;
  queue_select_ = 0;
  std::ranges::fill(queues_, QueueConfig(kMaxQueueSize));
}

void MmioTransport::read_config(std::uint64_t offset, std::span<std::byte> data) {
  device_->read_config(offset, data);
}

void MmioTransport::write_config(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(registers_mutex_);
  if ((status_ & status::kDriver) == 0 || (status_ & status::kFailed) != 0) {
    metrics_.refused_write_count.add();
    return;
  }
  device_->write_config(offset, data);
}

}  // namespace wisp
