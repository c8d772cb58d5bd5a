// A machine from a snapshot. What the file says was checked as a file; here every part checks it as what it is.
//
// The order, and why:
//   memory             mapped, not read
//   KVM VM, slots      as for a boot
//   devices            made from the configuration, as for a boot
//   vCPUs              registers; the LAPICs need the irqchip to exist
//   irqchip, PIT, clock
//   devices' state     may signal interrupts, which the irqchip then takes
//   generation         the guest is told that it is another machine now
#include "snapshot/image/memory_file.h"
#include "vmm/arch/x86_64/cpu_requirements.h"
#include "vmm/base/log.h"
#include "vmm/base/trace.h"
#include "vmm/kvm/shadow_stack.h"
#include "vmm/machine/builder.h"

namespace wisp {

Result<std::unique_ptr<Vm>> Vm::restore(VmSpec spec, RestoreInput input, EventLoop& loop, MachineMetrics& metrics,
                                        OnEnd on_end) {
  return VmBuilder(std::move(spec), loop, metrics, std::move(on_end)).restore(input);
}

Result<std::unique_ptr<Vm>> VmBuilder::restore(RestoreInput& input) {
  WISP_LOG(Debug, "event_start: build microvm from snapshot");
  generation_ = GenerationPage::Restored;
  (void)WISP_TRY(check_device_count());
  (void)WISP_TRY(check_section_names(input.state));
  (void)WISP_TRY(read_vcpu_states(input.state));
  (void)WISP_TRY(open_pmem());
  trace::phase("memory map");
  (void)WISP_TRY(map_captured_memory(input));
  (void)WISP_TRY(check_pair(input.state, *vm_->memory_));
  trace::phase("KVM VM");
  (void)WISP_TRY(create_kvm());
  (void)WISP_TRY(check_cpu());
  trace::phase("devices");
  (void)WISP_TRY(add_devices());
  trace::phase("vCPU state");
  (void)WISP_TRY(restore_vcpus(input.state));
  (void)WISP_TRY(restore_vm(input));
  trace::phase("device state");
  (void)WISP_TRY(vm_->devices_->restore(input.state));
  (void)WISP_TRY(vm_->devices_->announce_restore());
  WISP_LOG(Debug, "event_end: build microvm from snapshot");
  return std::move(vm_);
}

/// A section that this machine would not read is refused: it says that the file means something else.
Status VmBuilder::check_section_names(const StateFile& state) const {
  std::vector<std::string> names = {"config",
                                    std::string(section::kSerial),
                                    std::string(section::kKeyboard),
                                    std::string(section::kVm),
                                    std::string(section::kMemory),
                                    std::string(section::kPair)};
  for (std::size_t index = 0; index < boot_devices().size(); ++index) {
    names.push_back(section::transport(index));
    names.push_back(section::device(index));
  }
  for (std::size_t index = 0; index < spec_.machine.vcpu_count; ++index) {
    names.push_back(section::vcpu(index));
    names.push_back(section::shadow_stack(index));
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  return state.check_names(views);
}

Status VmBuilder::read_vcpu_states(const StateFile& state) {
  for (std::size_t index = 0; index < spec_.machine.vcpu_count; ++index) {
    const std::string name = section::vcpu(index);
    StateReader in(name, WISP_TRY(required_section(state, name)));
    vcpu_states_.push_back(WISP_TRY(VcpuState::restore(in)));
    (void)WISP_TRY(in.finish());
  }
  return {};
}

namespace {

Result<Fd> open_memory_file(RestoreInput& input) {
  if (!input.memory_descriptor.valid()) {
    return open_data_file("memory file", input.memory_path, Access::ReadOnly, FileKind::Regular);
  }
  (void)WISP_TRY(check_data_descriptor(input.memory_descriptor.ref(), "memory file", input.memory_path,
                                       Access::ReadOnly, FileKind::Regular));
  return std::move(input.memory_descriptor);
}

}  // namespace

Status VmBuilder::map_captured_memory(RestoreInput& input) {
  const auto plans = WISP_TRY(plan_memory());
  StateReader in(section::kMemory, WISP_TRY(required_section(input.state, section::kMemory)));
  (void)WISP_TRY(check_saved_layout(in, plans));
  const PageBacking backing = backing_of(spec_.machine.huge_pages);
  if (input.backend == MemoryBackend::Uffd) {
    auto source = input.memory_descriptor.valid()
                      ? UserfaultMemory::create(plans, backing, std::move(input.memory_descriptor))
                      : UserfaultMemory::create(plans, backing, input.memory_path);
    if (!source.ok()) {
      return std::move(source).error().with_prefix(
          "Failed to load guest memory: Error creating guest memory from uffd: ");
    }
    vm_->userfault_.emplace(std::move(source).value());
    vm_->memory_.emplace(vm_->userfault_->take_memory());
    return vm_->watch_handler();
  }
  if (backing == PageBacking::Huge2M) {
    return Error(ErrorCode::Unsupported,
                 "Cannot restore hugetlbfs backed snapshot by mapping the memory file. Please use uffd.");
  }
  auto file = open_memory_file(input);
  if (!file.ok()) {
    return std::move(file).error().with_prefix("Failed to load guest memory: Error creating guest memory from file: ");
  }
  auto memory = map_memory_file(plans, file.value().ref(), input.memory_path, backing);
  if (!memory.ok()) {
    return std::move(memory).error().with_prefix(
        "Failed to load guest memory: Error creating guest memory from file: ");
  }
  vm_->memory_.emplace(std::move(memory).value());
  return {};
}

/// The guest has seen what its processor can do; here it must be able to do all of it.
Status VmBuilder::check_cpu() const {
  for (const VcpuState& vcpu : vcpu_states_) {
    const auto missing = arch::missing_cpu_features(vcpu.cpuid, cpuid_);
    if (missing.empty()) {
      continue;
    }
    return Error(
        ErrorCode::Unsupported,
        "The snapshot needs another CPU than this host has: " + arch::describe(missing) +
            ". Restore it on a host like the one where it was taken, or start its machines with a CPU template");
  }
  return {};
}

namespace {

Status restore_shadow_stack(const StateFile& state, std::size_t index, const VcpuState& saved, const KvmVcpu& vcpu) {
  const std::string name = section::shadow_stack(index);
  const auto bytes = state.section(name);
  if (!bytes) {
    return {};
  }
  StateReader in(name, *bytes);
  const std::uint64_t pointer = in.u64();
  (void)WISP_TRY(in.check(offers_shadow_stacks(saved.cpuid), "a pointer for a vCPU that has no shadow stacks"));
  (void)WISP_TRY(in.finish());
  return vcpu.set_shadow_stack_pointer(pointer);
}

}  // namespace

Status VmBuilder::restore_vcpus(const StateFile& state) {
  Vcpu::install_kick_handler();
  for (std::uint8_t index = 0; index < spec_.machine.vcpu_count; ++index) {
    KvmVcpu kvm = WISP_TRY(vm_->kvm_->create_vcpu(index));
    (void)WISP_TRY(kvm.restore_state(vcpu_states_[index]));
    (void)WISP_TRY(restore_shadow_stack(state, index, vcpu_states_[index], kvm));
    (void)kvm.note_paused();
    vm_->cpuids_.push_back(vcpu_states_[index].cpuid);
    vm_->vcpus_.push_back(std::make_unique<Vcpu>(index, std::move(kvm), vm_->devices_->ports(), vm_->devices_->mmio(),
                                                 vm_->metrics_.vcpu, *vm_));
  }
  for (auto& vcpu : vm_->vcpus_) {
    (void)WISP_TRY(vcpu->start());
  }
  return {};
}

Status VmBuilder::restore_vm(const RestoreInput& input) {
  StateReader in(section::kVm, WISP_TRY(required_section(input.state, section::kVm)));
  const KvmVmState state = WISP_TRY(KvmVmState::restore(in));
  (void)WISP_TRY(in.finish());
  return vm_->kvm_->restore_state(state, input.clock);
}

}  // namespace wisp
