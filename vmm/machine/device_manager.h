// DeviceManager: every device of the machine, its place on a bus and its interrupt line.
//
// Legacy devices have fixed places; virtio devices get the next MMIO window and line in the order in which they are
// added, and that order is the guest's (the first block device is /dev/vda). Nothing is added once the first vCPU runs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "snapshot/image/state_file.h"
#include "snapshot/image/state_file_writer.h"
#include "virtio/core/mmio_transport.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/metrics.h"
#include "vmm/bus/bus.h"
#include "vmm/config/observe.h"
#include "vmm/events/event_loop.h"
#include "vmm/kvm/vm.h"
#include "vmm/legacy/boot_timer.h"
#include "vmm/legacy/i8042.h"
#include "vmm/legacy/power_control.h"
#include "vmm/legacy/serial.h"
#include "vmm/legacy/serial_input.h"
#include "vmm/legacy/terminal.h"
#include "vmm/legacy/vm_clock.h"
#include "vmm/legacy/vm_gen_id.h"

namespace wisp {

class DeviceManager {
 public:
  DeviceManager(const KvmVm& kvm, const GuestMemory& memory, EventLoop& loop)
      : kvm_(kvm), memory_(memory), loop_(loop) {}

  /// Output to the configured file, otherwise to standard output; in the latter case input comes from standard input
  /// when somebody can type there.
  /// With a valid `sink`, config.serial_out_path is not looked at.
  Status add_serial(const SerialConfig& config, Fd sink = {});
  /// `on_reset` is called on a vCPU thread when the guest asks for a reset.
  Status add_i8042(std::function<void()> on_reset);
  /// `on_power_off` is called on a vCPU thread when the guest switches itself off.
  Status add_power_control(std::function<void()> on_power_off);
  Status add_boot_timer(BootTimes start);
  /// VMGenID and VMClock. Restored: their pages hold what was saved, and announce_restore() is to follow.
  Status add_generation_devices(GenerationPage page);
  /// Tells the guest that it was restored from a snapshot: after the interrupt controllers' state, before a vCPU runs.
  Status announce_restore() const;
  /// Fails when all windows or lines are taken.
  Status add_virtio(std::unique_ptr<VirtioDevice> device);

  const Bus& ports() const { return ports_; }
  const Bus& mmio() const { return mmio_; }
  I8042& i8042() { return *i8042_; }
  /// Replaces the zero groups of the legacy devices by those of this machine.
  void register_in(MetricsRegistry& registry);

  // Capture and restore; while no vCPU runs.
  void save(StateFileWriter& out) const;
  /// Into devices that were just made. They stay quiesced.
  Status restore(const StateFile& state);

  // Loop thread: pause and resume.
  void quiesce();
  std::size_t in_flight_count() const;
  void resume();
  /// Called on the loop when the last request in flight of a quiesced device has ended.
  void set_drain_listener(const std::function<void()>& listener);

 private:
  Status bind_doorbells(const MmioTransport& transport, const arch::MmioSlot& slot);

  const KvmVm& kvm_;
  const GuestMemory& memory_;
  EventLoop& loop_;
  Bus ports_;
  Bus mmio_;
  std::optional<RawTerminal> terminal_;
  std::unique_ptr<Serial> serial_;
  std::unique_ptr<SerialInput> serial_input_;  // ends before serial_, which it feeds
  std::unique_ptr<I8042> i8042_;
  std::unique_ptr<PowerControl> power_control_;
  std::unique_ptr<BootTimer> boot_timer_;
  std::optional<VmGenId> vm_gen_id_;
  std::optional<VmClock> vm_clock_;
  std::vector<std::unique_ptr<MmioTransport>> transports_;
};

}  // namespace wisp
