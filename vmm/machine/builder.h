// VmBuilder: makes a machine, whole or not at all.
//
// The order of the steps is the point; each has its reason:
//   memory            mapped, not touched
//   boot image        the files are checked before any KVM object exists: the commonest mistakes cost nothing
//   KVM VM, slots     all memory slots before any in-kernel device: the other order waits for grace periods
//   irqchip, PIT      before vCPUs, which get their LAPIC from it
//   devices           buses, then ioeventfd and irqfd
//   vCPUs             last: they need everything; they start parked
#pragma once

#include <vector>

#include "vmm/arch/x86_64/boot.h"
#include "vmm/machine/vm.h"

namespace wisp {

class VmBuilder {
 public:
  VmBuilder(VmSpec spec, EventLoop& loop, MachineMetrics& metrics, Vm::OnEnd on_end);
  Result<std::unique_ptr<Vm>> build();

 private:
  Status map_memory();
  Status create_kvm();
  Status load_boot_image();
  Status add_devices();
  Status add_drives();
  Status create_vcpus();
  Status set_up_vcpu(const KvmVcpu& vcpu);
  std::vector<arch::BootDevice> boot_devices() const;

  VmSpec spec_;
  EventLoop& loop_;
  std::unique_ptr<Vm> vm_;
  CustomCpuTemplate template_;
  arch::BootState boot_;
  std::vector<kvm_cpuid_entry2> cpuid_;
  std::vector<kvm_msr_entry> template_msrs_;
};

}  // namespace wisp
