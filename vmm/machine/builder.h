// VmBuilder: makes a machine, whole or not at all.
//
// The order of the steps is the point; each has its reason:
//   files             persistent memory is opened and mapped; its sizes decide where it lies; vhost-user back ends are
//                     connected to
//   memory            mapped, not touched
//   boot image        the files are checked before any KVM object exists: the commonest mistakes cost nothing
//   KVM VM, slots     all memory slots before any in-kernel device: the other order waits for grace periods
//   irqchip, PIT      before vCPUs, which get their LAPIC from it
//   devices           buses, then ioeventfd and irqfd
//   vCPUs             last: they need everything; they start parked
#pragma once

#include <vector>

#include "virtio/vhost/backend.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/kvm/vcpu_state.h"
#include "vmm/machine/address_plan.h"
#include "vmm/machine/vm.h"

namespace wisp {

PageBacking backing_of(HugePages pages);
class VmBuilder {
 public:
  VmBuilder(VmSpec spec, EventLoop& loop, MachineMetrics& metrics, Vm::OnEnd on_end);
  Result<std::unique_ptr<Vm>> build();
  /// The same machine from a snapshot: memory and state come from there, nothing is booted.
  Result<std::unique_ptr<Vm>> restore(RestoreInput& input);

 private:
  Status open_pmem();
  Status connect_backends();
  Result<std::vector<RegionPlan>> plan_memory();
  Status share_memory(std::vector<RegionPlan>& plans);
  Status map_memory();
  Status create_kvm();
  Status check_device_count() const;
  Status load_boot_image();
  Status register_pmem(const KvmVm& kvm);
  Status add_devices();
  // builder_devices.cpp: the virtio devices, in the order in which the guest finds them
  Status add_virtio_devices();
  Status add_balloon();
  Status add_drives();
  Status add_vhost_drive(std::size_t index);
  Status add_network_interfaces();
  Status add_pmem();
  Status add_vsock();
  Status add_entropy();
  Status add_memory_hotplug();
  Result<std::unique_ptr<FrameDetour>> metadata_detour(const std::string& iface_id);
  template <typename Device>
  Status attach(const std::string& name, Result<std::unique_ptr<Device>> device);
  DirtyLogging dirty_logging() const;
  Status create_vcpus();
  Status set_up_vcpu(const KvmVcpu& vcpu);
  // builder_restore.cpp
  Status map_captured_memory(RestoreInput& input);
  Status read_vcpu_states(const StateFile& state);
  Status check_cpu() const;
  Status restore_vcpus(const StateFile& state);
  Status restore_vm(const RestoreInput& input);
  Status check_section_names(const StateFile& state) const;
  std::vector<arch::BootDevice> boot_devices() const;

  VmSpec spec_;
  EventLoop& loop_;
  std::unique_ptr<Vm> vm_;
  CustomCpuTemplate template_;
  GenerationPage generation_ = GenerationPage::Fresh;
  std::vector<VcpuState> vcpu_states_;
  std::vector<PmemFile> pmem_files_;
  struct Backend {
    std::unique_ptr<VhostBackend> connection;  // absent for a drive with a file
    std::uint64_t connect_time_us = 0;
  };
  std::vector<Backend> backends_;  // one for each drive
  std::vector<Fd> memory_files_;   // one for each region of shared memory, until it is mapped
  AddressPlan addresses_;
  arch::BootState boot_;
  std::vector<kvm_cpuid_entry2> cpuid_;
  std::vector<kvm_msr_entry> template_msrs_;
};

}  // namespace wisp
