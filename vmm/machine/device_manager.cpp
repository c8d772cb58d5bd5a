#include "vmm/machine/device_manager.h"

#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/machine/snapshot.h"

namespace wisp {

Status DeviceManager::add_serial(const SerialConfig& config, Fd sink) {
  const TokenBucketConfig limit = config.limit.value_or(TokenBucketConfig{});
  if (!sink.valid() && config.serial_out_path) {
    sink = WISP_TRY(open_line_sink("serial output file", *config.serial_out_path));
  }
  if (sink.valid()) {
    serial_ = WISP_TRY(Serial::create(SerialOutput::owned(std::move(sink)), limit));
  } else {
    serial_ = WISP_TRY(Serial::create(SerialOutput::shared(FdRef(STDOUT_FILENO)), limit));
    const FdRef input(STDIN_FILENO);
    if (SerialInput::accepts(input)) {
      if (auto raw = RawTerminal::enter(input)) {
        terminal_.emplace(std::move(*raw));
      }
      serial_input_ = WISP_TRY(SerialInput::attach(loop_, input, *serial_));
    }
  }
  (void)WISP_TRY(ports_.add(arch::kSerialPort, arch::kSerialPortCount, *serial_));
  return kvm_.bind_interrupt(serial_->interrupt().ref(), arch::kSerialGsi);
}

Status DeviceManager::add_i8042(std::function<void()> on_reset) {
  i8042_ = WISP_TRY(I8042::create(std::move(on_reset)));
  (void)WISP_TRY(ports_.add(arch::kKeyboardPort, arch::kKeyboardPortCount, *i8042_));
  return kvm_.bind_interrupt(i8042_->interrupt().ref(), arch::kKeyboardGsi);
}

Status DeviceManager::add_power_control(std::function<void()> on_power_off) {
  power_control_ = std::make_unique<PowerControl>(arch::kSoftOffSleepType, std::move(on_power_off));
  return ports_.add(arch::kPowerControlPort, kPowerControlRegisterCount, *power_control_);
}

Status DeviceManager::add_boot_timer(BootTimes start) {
  boot_timer_ = std::make_unique<BootTimer>(start);
  return mmio_.add(arch::kBootTimer.start.value(), arch::kBootTimer.size_bytes, *boot_timer_);
}

Status DeviceManager::add_generation_devices(GenerationPage page) {
  vm_gen_id_.emplace(WISP_TRY(VmGenId::create(memory_, page)));
  vm_clock_.emplace(WISP_TRY(VmClock::create(memory_, page)));
  (void)WISP_TRY(kvm_.bind_interrupt(vm_gen_id_->event(), VmGenId::kGsi));
  return kvm_.bind_interrupt(vm_clock_->event(), VmClock::kGsi);
}

Status DeviceManager::announce_restore() const {
  (void)WISP_TRY(vm_gen_id_->renew());
  return vm_clock_->disrupt();
}

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

void DeviceManager::register_in(MetricsRegistry& registry) {
  registry.add_group("uart", serial_->metrics().fields());
  registry.add_group("i8042", i8042_->metrics().fields());
}

void DeviceManager::save(StateFileWriter& out) const {
  const auto add = [&out](std::string name, auto& part) {
    StateWriter bytes;
    part.save(bytes);
    out.add_section(std::move(name), std::move(bytes).take());
  };
  for (std::size_t index = 0; index < transports_.size(); ++index) {
    add(section::transport(index), *transports_[index]);
    add(section::device(index), transports_[index]->device());
  }
  add(std::string(section::kSerial), *serial_);
  add(std::string(section::kKeyboard), *i8042_);
}

Status DeviceManager::restore(const StateFile& state) {
  // All devices before any transport: a ring may lie in memory that the hot-plug device plugs again.
  for (std::size_t index = 0; index < transports_.size(); ++index) {
    const std::string name = section::device(index);
    StateReader in(name, WISP_TRY(required_section(state, name)));
    (void)WISP_TRY(transports_[index]->device().restore(in));
    (void)WISP_TRY(in.finish());
  }
  for (std::size_t index = 0; index < transports_.size(); ++index) {
    const std::string name = section::transport(index);
    StateReader in(name, WISP_TRY(required_section(state, name)));
    (void)WISP_TRY(transports_[index]->restore(in));
  }
  StateReader serial(section::kSerial, WISP_TRY(required_section(state, section::kSerial)));
  (void)WISP_TRY(serial_->restore(serial));
  StateReader keyboard(section::kKeyboard, WISP_TRY(required_section(state, section::kKeyboard)));
  return i8042_->restore(keyboard);
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
