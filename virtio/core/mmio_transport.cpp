#include "virtio/core/mmio_transport.h"

#include <algorithm>
#include <bit>

#include "virtio/core/device_status.h"
#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"
#include "vmm/base/endian.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint32_t kMagic = 0x74726976;  // "virt"
constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kVendor = 0;
constexpr std::uint32_t kNoSharedMemory = 0xffff'ffff;  // section 4.2.2: length and base of a region that does not exist
constexpr unsigned kFeaturesPageBits = 32;
constexpr std::uint32_t kFeaturesPageCount = 2;
constexpr std::size_t kRegisterWidthBytes = 4;

enum class RegisterId : std::uint8_t {
  Magic, Version, DeviceId, Vendor, DeviceFeatures, DeviceFeaturesSelect, DriverFeatures, DriverFeaturesSelect,
  QueueSelect, QueueNumMax, QueueNum, QueueReady, QueueNotify, InterruptStatus, InterruptAck, Status,
  QueueDescLow, QueueDescHigh, QueueDriverLow, QueueDriverHigh, QueueDeviceLow, QueueDeviceHigh,
  SharedMemorySelect, SharedMemoryRange, ConfigGeneration,
};

enum class RegisterAccess : std::uint8_t { Read, Write, ReadWrite };

}  // namespace

struct MmioTransport::Register {
  std::uint64_t offset;
  RegisterId id;
  RegisterAccess access;
  bool readable() const { return access != RegisterAccess::Write; }
  bool writable() const { return access != RegisterAccess::Read; }
};

// Section 4.2.2, table "MMIO Device Register Layout". QueueReset (0xc0) belongs to a feature that is not offered.
const MmioTransport::Register* MmioTransport::find_register(std::uint64_t offset) {
  static constexpr std::array<Register, 28> kRegisters = {{
      {0x000, RegisterId::Magic, RegisterAccess::Read},
      {0x004, RegisterId::Version, RegisterAccess::Read},
      {0x008, RegisterId::DeviceId, RegisterAccess::Read},
      {0x00c, RegisterId::Vendor, RegisterAccess::Read},
      {0x010, RegisterId::DeviceFeatures, RegisterAccess::Read},
      {0x014, RegisterId::DeviceFeaturesSelect, RegisterAccess::Write},
      {0x020, RegisterId::DriverFeatures, RegisterAccess::Write},
      {0x024, RegisterId::DriverFeaturesSelect, RegisterAccess::Write},
      {0x030, RegisterId::QueueSelect, RegisterAccess::Write},
      {0x034, RegisterId::QueueNumMax, RegisterAccess::Read},
      {0x038, RegisterId::QueueNum, RegisterAccess::Write},
      {0x044, RegisterId::QueueReady, RegisterAccess::ReadWrite},
      {kMmioQueueNotifyOffset, RegisterId::QueueNotify, RegisterAccess::Write},
      {0x060, RegisterId::InterruptStatus, RegisterAccess::Read},
      {0x064, RegisterId::InterruptAck, RegisterAccess::Write},
      {0x070, RegisterId::Status, RegisterAccess::ReadWrite},
      {0x080, RegisterId::QueueDescLow, RegisterAccess::Write},
      {0x084, RegisterId::QueueDescHigh, RegisterAccess::Write},
      {0x090, RegisterId::QueueDriverLow, RegisterAccess::Write},
      {0x094, RegisterId::QueueDriverHigh, RegisterAccess::Write},
      {0x0a0, RegisterId::QueueDeviceLow, RegisterAccess::Write},
      {0x0a4, RegisterId::QueueDeviceHigh, RegisterAccess::Write},
      {0x0ac, RegisterId::SharedMemorySelect, RegisterAccess::Write},
      {0x0b0, RegisterId::SharedMemoryRange, RegisterAccess::Read},
      {0x0b4, RegisterId::SharedMemoryRange, RegisterAccess::Read},
      {0x0b8, RegisterId::SharedMemoryRange, RegisterAccess::Read},
      {0x0bc, RegisterId::SharedMemoryRange, RegisterAccess::Read},
      {0x0fc, RegisterId::ConfigGeneration, RegisterAccess::Read},
  }};
  const auto* found = std::ranges::find(kRegisters, offset, &Register::offset);
  return found == kRegisters.end() ? nullptr : found;
}

void MmioTransport::Doorbell::on_event(std::uint32_t /*events*/) {
  event_.drain();
  action_();
}

MmioTransport::MmioTransport(PrivateTag /*tag*/, std::unique_ptr<VirtioDevice> device, const GuestMemory& memory,
                             EventLoop& loop, std::unique_ptr<InterruptLine> interrupt)
    : device_(std::move(device)),
      memory_(&memory),
      loop_(&loop),
      interrupt_(std::move(interrupt)),
      queues_(device_->queue_count(), QueueConfig(kMaxQueueSize)),
      handed_queues_(queues_) {
  WISP_ASSERT(queues_.size() <= kMaxQueuesPerDevice);
}

Result<std::unique_ptr<MmioTransport>> MmioTransport::create(std::unique_ptr<VirtioDevice> device,
                                                             const GuestMemory& memory, EventLoop& loop) {
  auto interrupt = WISP_TRY(InterruptLine::create());
  auto transport =
      std::make_unique<MmioTransport>(PrivateTag{}, std::move(device), memory, loop, std::move(interrupt));
  (void)WISP_TRY(transport->add_doorbells());
  transport->device_->attach(*transport);
  return transport;
}

Status MmioTransport::add_doorbells() {
  handover_bell_ = std::make_unique<Doorbell>(WISP_TRY(EventFd::create()), [this] { on_handover(); });
  (void)WISP_TRY(loop_->watch(handover_bell_->ref(), Interest::Readable, *handover_bell_));
  for (std::size_t index = 0; index < queues_.size(); ++index) {
    auto bell = std::make_unique<Doorbell>(WISP_TRY(EventFd::create()), [this, index] { on_queue_event(index); });
    (void)WISP_TRY(loop_->watch(bell->ref(), Interest::Readable, *bell));
    queue_bells_.push_back(std::move(bell));
  }
  return {};
}

MmioTransport::~MmioTransport() {
  if (handover_bell_) {
    loop_->unwatch(handover_bell_->ref(), *handover_bell_);
  }
  for (const auto& bell : queue_bells_) {
    loop_->unwatch(bell->ref(), *bell);
  }
  if (life_ != DeviceLife::Inactive) {
    device_->reset();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Registers: vCPU threads.

void MmioTransport::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  if (offset >= kMmioConfigOffset) {
    read_config(offset - kMmioConfigOffset, data);
    return;
  }
  const Register* reg = data.size() == kRegisterWidthBytes ? find_register(offset) : nullptr;
  if (reg == nullptr || !reg->readable()) {
    metrics_.bad_access_count.add();
    return;
  }
  std::uint32_t value = 0;
  if (reg->id == RegisterId::InterruptStatus) {
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
  const Register* reg = data.size() == kRegisterWidthBytes ? find_register(offset) : nullptr;
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
    case RegisterId::InterruptAck: interrupt_->acknowledge(value); return;
    case RegisterId::QueueNotify: write_notify(value); return;
    default: break;
  }
  const std::lock_guard lock(registers_mutex_);
  write_register(*reg, value);
}

std::uint32_t MmioTransport::read_register(const Register& reg) {
  switch (reg.id) {
    case RegisterId::Magic: return kMagic;
    case RegisterId::Version: return kVersion;
    case RegisterId::DeviceId: return static_cast<std::uint32_t>(device_->type());
    case RegisterId::Vendor: return kVendor;
    case RegisterId::DeviceFeatures: return device_features_page();
    case RegisterId::QueueNumMax: return selected_queue() == nullptr ? 0 : kMaxQueueSize;
    case RegisterId::QueueReady: {
      const QueueConfig* queue = selected_queue();
      return queue != nullptr && queue->ready() ? 1 : 0;
    }
    case RegisterId::Status: return status_with_device_bits();
    case RegisterId::SharedMemoryRange: return kNoSharedMemory;
    case RegisterId::ConfigGeneration: return config_generation_.load(std::memory_order_acquire);
    default: return 0;
  }
}

void MmioTransport::write_register(const Register& reg, std::uint32_t value) {
  switch (reg.id) {
    case RegisterId::DeviceFeaturesSelect: device_features_page_ = value; return;
    case RegisterId::DriverFeaturesSelect: driver_features_page_ = value; return;
    case RegisterId::DriverFeatures: write_driver_features(value); return;
    case RegisterId::QueueSelect: queue_select_ = value; return;
    case RegisterId::Status: write_status(value); return;
    case RegisterId::SharedMemorySelect: return;
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

void MmioTransport::write_queue_register(const Register& reg, std::uint32_t value) {
  QueueConfig* queue = selected_queue();
  // Section 3.1.1 step 7: queues are set up between FEATURES_OK and DRIVER_OK. What is live cannot be changed.
  if (queue == nullptr || status_ != status::kConfiguring) {
    metrics_.refused_write_count.add();
    return;
  }
  switch (reg.id) {
    case RegisterId::QueueNum: queue->set_size(value); return;
    case RegisterId::QueueReady: write_queue_ready(*queue, value); return;
    case RegisterId::QueueDescLow: queue->set_address(QueuePart::DescriptorTable, AddressHalf::Low, value); return;
    case RegisterId::QueueDescHigh: queue->set_address(QueuePart::DescriptorTable, AddressHalf::High, value); return;
    case RegisterId::QueueDriverLow: queue->set_address(QueuePart::AvailableRing, AddressHalf::Low, value); return;
    case RegisterId::QueueDriverHigh: queue->set_address(QueuePart::AvailableRing, AddressHalf::High, value); return;
    case RegisterId::QueueDeviceLow: queue->set_address(QueuePart::UsedRing, AddressHalf::Low, value); return;
    case RegisterId::QueueDeviceHigh: queue->set_address(QueuePart::UsedRing, AddressHalf::High, value); return;
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
    WISP_LOG_LIMITED(Warn, "virtio-mmio: the driver set up a queue with a bad size or address; it does not become ready");
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
  rendezvous_.wait(lock, [&] { return resets_done_ != before || waiters_released_; });
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

// ---------------------------------------------------------------------------------------------------------------------
// Loop thread.

FdRef MmioTransport::queue_event(std::size_t index) const {
  WISP_ASSERT(index < queue_bells_.size());
  return queue_bells_[index]->ref();
}

FdRef MmioTransport::interrupt_event() const { return interrupt_->event_fd(); }

std::size_t MmioTransport::queue_count() const { return queues_.size(); }

VirtioDevice& MmioTransport::device() { return *device_; }

void MmioTransport::on_handover() {
  switch (handover_.exchange(Handover::None, std::memory_order_acq_rel)) {
    case Handover::Activate: activate_device(); break;
    case Handover::Reset: begin_reset(); break;
    case Handover::None: break;
  }
  if (device_->in_flight_count() > 0) {
    return;
  }
  if (life_ == DeviceLife::Resetting) {
    finish_reset();
  }
  if (pace_ == Pace::Quiesced && drain_listener_) {
    drain_listener_();
  }
}

void MmioTransport::activate_device() {
  Activation activation{memory_, interrupt_.get(), handed_features_, {}};
  activation.queues.reserve(handed_queues_.size());
  for (std::size_t index = 0; index < handed_queues_.size(); ++index) {
    activation.queues.push_back(handed_queues_[index].activate(*memory_, handed_features_));
    live_queues_[index] = activation.queues.back().has_value();
  }
  const Status activated = device_->activate(std::move(activation));
  if (!activated.ok()) {
    metrics_.activate_fails.add();
    WISP_LOG_LIMITED(Warn, "virtio-mmio: the device cannot go live: %s", activated.error().text().c_str());
    needs_reset();
    return;
  }
  life_ = DeviceLife::Active;
  if (pace_ == Pace::Quiesced) {
    device_->quiesce();
  }
  ring_live_queues();  // the driver may have kicked before the device was live
}

void MmioTransport::begin_reset() {
  if (life_ == DeviceLife::Active && pace_ == Pace::Running) {
    device_->quiesce();
  }
  life_ = DeviceLife::Resetting;
}

void MmioTransport::finish_reset() {
  device_->reset();
  live_queues_.fill(false);
  life_ = DeviceLife::Inactive;
  needs_reset_.store(false, std::memory_order_release);
  interrupt_->clear();
  const std::lock_guard lock(rendezvous_mutex_);
  ++resets_done_;
  rendezvous_.notify_all();
}

void MmioTransport::release_waiters() {
  const std::lock_guard lock(rendezvous_mutex_);
  waiters_released_ = true;
  rendezvous_.notify_all();
}

void MmioTransport::on_queue_event(std::size_t index) {
  if (life_ != DeviceLife::Active || pace_ == Pace::Quiesced || !live_queues_[index]) {
    return;  // activation and resume look at every live queue anyway
  }
  if (device_->on_queue(index)) {
    queue_bells_[index]->ring();  // other handlers get their turn first
  }
}

void MmioTransport::ring_live_queues() {
  for (std::size_t index = 0; index < queue_bells_.size(); ++index) {
    if (live_queues_[index]) {
      queue_bells_[index]->ring();
    }
  }
}

void MmioTransport::quiesce() {
  on_handover();
  if (pace_ == Pace::Quiesced) {
    return;
  }
  pace_ = Pace::Quiesced;
  if (life_ == DeviceLife::Active) {
    device_->quiesce();
  }
}

std::size_t MmioTransport::in_flight_count() const { return device_->in_flight_count(); }

void MmioTransport::set_drain_listener(std::function<void()> listener) { drain_listener_ = std::move(listener); }

void MmioTransport::resume() {
  if (pace_ == Pace::Running) {
    return;
  }
  pace_ = Pace::Running;
  if (interrupt_->status() != 0) {
    interrupt_->raise(0);  // an edge that was signalled while the guest stood still is signalled again
  }
  if (life_ == DeviceLife::Active) {
    device_->resume();
    ring_live_queues();
  }
}

void MmioTransport::needs_reset() {
  metrics_.needs_reset_count.add();
  needs_reset_.store(true, std::memory_order_release);
  interrupt_->raise(kInterruptConfiguration);
}

void MmioTransport::config_changed() {
  config_generation_.fetch_add(1, std::memory_order_acq_rel);
  interrupt_->raise(kInterruptConfiguration);
}

void MmioTransport::look_again(std::size_t queue_index) {
  WISP_ASSERT(queue_index < queue_bells_.size());
  queue_bells_[queue_index]->ring();
}

void MmioTransport::drained() { handover_bell_->ring(); }

}  // namespace wisp
