#include "vmm/machine/builder.h"

#include <algorithm>

#include "virtio/block/device.h"
#include "virtio/vhost/device.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/cpu_template.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/registers.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/trace.h"
#include "vmm/memory/shared_file.h"

namespace wisp {
namespace {

constexpr std::uint64_t kBytesPerMib = 1024 * 1024;

}  // namespace

PageBacking backing_of(HugePages pages) {
  switch (pages) {
    case HugePages::None: return PageBacking::Normal;
    case HugePages::Transparent: return PageBacking::Transparent;
    case HugePages::Pages2M: return PageBacking::Huge2M;
  }
  return PageBacking::Normal;
}

namespace {

arch::DiskAccess access_of(bool is_read_only) {
  return is_read_only ? arch::DiskAccess::ReadOnly : arch::DiskAccess::ReadWrite;
}

}  // namespace

VmBuilder::VmBuilder(VmSpec spec, EventLoop& loop, MachineMetrics& metrics, Vm::OnEnd on_end)
    : spec_(std::move(spec)), loop_(loop), vm_(new Vm(loop, metrics, std::move(on_end))) {}

Result<std::unique_ptr<Vm>> Vm::build(VmSpec spec, EventLoop& loop, MachineMetrics& metrics, OnEnd on_end) {
  return VmBuilder(std::move(spec), loop, metrics, std::move(on_end)).build();
}

Result<std::unique_ptr<Vm>> VmBuilder::build() {
  WISP_LOG(Debug, "event_start: build microvm for boot");
  template_ = WISP_TRY(arch::resolve_template(spec_.custom_template, spec_.machine.cpu_template, arch::host_cpuid));
  (void)WISP_TRY(open_pmem());
  (void)WISP_TRY(connect_backends());
  trace::phase("memory");
  (void)WISP_TRY(map_memory());
  trace::phase("loader");
  (void)WISP_TRY(load_boot_image());
  trace::phase("KVM VM");
  (void)WISP_TRY(create_kvm());
  trace::phase("devices");
  (void)WISP_TRY(add_devices());
  trace::phase("vCPUs");
  (void)WISP_TRY(create_vcpus());
  WISP_LOG(Debug, "event_end: build microvm for boot");
  return std::move(vm_);
}

Status VmBuilder::open_pmem() {
  for (const PmemConfig& config : spec_.pmem) {
    const auto given = spec_.pmem_files.find(config.id);
    auto file = given == spec_.pmem_files.end() ? PmemFile::open(config)
                                                : PmemFile::adopt_descriptor(std::move(given->second), config);
    pmem_files_.push_back(WISP_TRY(std::move(file)));
  }
  return {};
}

Status VmBuilder::connect_backends() {
  for (DriveInput& drive : spec_.drives) {
    Backend& backend = backends_.emplace_back();
    if (!drive.config.socket) {
      continue;
    }
    const Stopwatch stopwatch;
    auto connection = VhostBackend::connect(*drive.config.socket);
    if (!connection.ok()) {
      return std::move(connection)
          .error()
          .with_prefix("Could not attach device: drive '" + drive.config.drive_id + "': ");
    }
    backend.connection = std::move(connection).value();
    backend.connect_time_us = stopwatch.elapsed_us();
    drive.config.is_read_only = is_read_only(*backend.connection);
  }
  return {};
}

/// RAM, then the hot-pluggable region.
Result<std::vector<RegionPlan>> VmBuilder::plan_memory() {
  if (spec_.machine.memory_mib > kMaxStartableMemoryMib) {
    return Error(ErrorCode::LimitExceeded, "Invalid Memory Configuration: Cannot create mmap region: Out of memory: " +
                                               std::to_string(spec_.machine.memory_mib) + " MiB are wanted, at most " +
                                               std::to_string(kMaxStartableMemoryMib) +
                                               " can be had. Lower mem_size_mib");
  }
  const auto ranges = arch::ram_ranges(spec_.machine.memory_mib * kBytesPerMib);
  std::vector<std::uint64_t> pmem_sizes_bytes;
  for (const PmemFile& file : pmem_files_) {
    pmem_sizes_bytes.push_back(file.size_bytes());
  }
  const std::uint64_t hotplug_size_bytes =
      spec_.memory_hotplug ? spec_.memory_hotplug->total_size_mib * kBytesPerMib : 0;
  addresses_ = WISP_TRY(plan_addresses(ranges, hotplug_size_bytes, pmem_sizes_bytes));
  std::vector<RegionPlan> plans;
  for (const GuestRange& range : ranges) {
    plans.push_back({.range = range});
  }
  if (addresses_.hotplug) {
    plans.push_back({.range = {*addresses_.hotplug, hotplug_size_bytes},
                     .block_size_bytes = spec_.memory_hotplug->block_size_mib * kBytesPerMib});
  }
  return plans;
}

/// A back end of another process maps guest memory, too: all of it, because the driver's buffers may be anywhere.
Status VmBuilder::share_memory(std::vector<RegionPlan>& plans) {
  const PageBacking backing = backing_of(spec_.machine.huge_pages);
  for (RegionPlan& plan : plans) {
    memory_files_.push_back(WISP_TRY(create_shared_file(plan.range.size_bytes, backing)));
    plan.file = RegionFile{memory_files_.back().ref(), 0, FileSharing::Shared};
  }
  return {};
}

Status VmBuilder::map_memory() {
  auto plans = WISP_TRY(plan_memory());
  if (std::ranges::any_of(backends_, [](const Backend& each) { return each.connection != nullptr; })) {
    (void)WISP_TRY(share_memory(plans));
  }
  vm_->memory_.emplace(WISP_TRY(GuestMemory::create_from(plans, backing_of(spec_.machine.huge_pages))));
  memory_files_.clear();
  return {};
}

DirtyLogging VmBuilder::dirty_logging() const {
  return spec_.machine.track_dirty_pages ? DirtyLogging::On : DirtyLogging::Off;
}

/// In the order of add_virtio_devices().
std::vector<arch::BootDevice> VmBuilder::boot_devices() const {
  std::vector<arch::BootDevice> devices;
  const auto add = [&](std::optional<arch::RootDisk> root = std::nullopt) {
    devices.push_back({arch::mmio_slot(static_cast<std::uint32_t>(devices.size())), std::move(root)});
  };
  if (spec_.balloon) {
    add();
  }
  for (const DriveInput& drive : spec_.drives) {
    drive.config.is_root_device
        ? add(arch::RootDisk{.access = access_of(drive.config.is_read_only), .partuuid = drive.config.partuuid})
        : add();
  }
  for (std::size_t index = 0; index < spec_.network_interfaces.size(); ++index) {
    add();
  }
  for (std::uint32_t index = 0; index < spec_.pmem.size(); ++index) {
    const PmemConfig& pmem = spec_.pmem[index];
    pmem.root_device ? add(arch::RootDisk{.access = access_of(pmem.read_only), .pmem_index = index}) : add();
  }
  const std::size_t singles = std::size_t{spec_.vsock.has_value()} + std::size_t{spec_.entropy.has_value()} +
                              std::size_t{spec_.memory_hotplug.has_value()};
  for (std::size_t index = 0; index < singles; ++index) {
    add();
  }
  return devices;
}

Status VmBuilder::check_device_count() const {
  const std::size_t count = spec_.drives.size() + spec_.network_interfaces.size() + spec_.pmem.size() +
                            std::size_t{spec_.balloon.has_value()} + std::size_t{spec_.vsock.has_value()} +
                            std::size_t{spec_.entropy.has_value()} + std::size_t{spec_.memory_hotplug.has_value()};
  if (count > arch::kMaxMmioDevices) {
    return Error(ErrorCode::LimitExceeded,
                 "Could not attach device: Could not allocate GSI: The requested resource is "
                 "not available. (" +
                     std::to_string(count) + " devices are configured, " + std::to_string(arch::kMaxMmioDevices) +
                     " fit. Remove some.)");
  }
  return {};
}

Status VmBuilder::load_boot_image() {
  (void)WISP_TRY(check_device_count());
  const auto devices = boot_devices();
  boot_ = WISP_TRY(arch::prepare_boot(*vm_->memory_, arch::BootInputs{.kernel = *spec_.kernel,
                                                                      .initrd = spec_.initrd,
                                                                      .boot_args = spec_.boot_args,
                                                                      .vcpu_count = spec_.machine.vcpu_count,
                                                                      .devices = devices}));
  return {};
}

Status VmBuilder::create_kvm() {
  const KvmSystem system = WISP_TRY(KvmSystem::open("/dev/kvm", template_.capabilities));
  vm_->kvm_.emplace(WISP_TRY(system.create_vm()));
  const KvmVm& kvm = *vm_->kvm_;
  vm_->logging_ = dirty_logging();
  vm_->saved_msrs_ = WISP_TRY(system.saved_msr_indices());
  (void)WISP_TRY(KvmSlots::register_all(kvm, *vm_->memory_, dirty_logging()));
  (void)WISP_TRY(register_pmem(kvm));
  (void)WISP_TRY(kvm.set_tss_address(arch::kKvmTss.start.value()));
  (void)WISP_TRY(kvm.create_irqchip());
  (void)WISP_TRY(kvm.create_pit());
  cpuid_ = WISP_TRY(spec_.cpuid.take(system));
  (void)WISP_TRY(arch::apply_template(cpuid_, template_));
  return {};
}

Status VmBuilder::add_devices() {
  vm_->devices_ = std::make_unique<DeviceManager>(*vm_->kvm_, *vm_->memory_, loop_);
  DeviceManager& devices = *vm_->devices_;
  (void)WISP_TRY(devices.add_serial(spec_.serial, std::move(spec_.serial_sink)));
  (void)WISP_TRY(devices.add_generation_devices(generation_));
  Vm* const vm = vm_.get();
  (void)WISP_TRY(devices.add_i8042([vm] { vm->request_end(ExitCode::Ok); }));
  (void)WISP_TRY(devices.add_power_control([vm] { vm->request_end(ExitCode::Ok); }));
  if (spec_.boot_timer == BootTimerDevice::Present) {
    (void)WISP_TRY(devices.add_boot_timer(spec_.start_requested));
  }
  return add_virtio_devices();
}

/// Behind the slots of the memory itself. A read-only device is read-only to the processor, too: its driver does not
/// know.
Status VmBuilder::register_pmem(const KvmVm& kvm) {
  auto slot_id = static_cast<std::uint32_t>(vm_->memory_->region_count());
  for (std::size_t index = 0; index < pmem_files_.size(); ++index) {
    const SlotAccess access = spec_.pmem[index].read_only ? SlotAccess::ReadOnly : SlotAccess::ReadWrite;
    (void)WISP_TRY(KvmSlots::register_mapping(kvm, slot_id++, addresses_.pmem[index], pmem_files_[index], access));
  }
  if (spec_.memory_hotplug) {
    vm_->hotplug_slots_.emplace(*vm_->kvm_, *vm_->memory_, slot_id, dirty_logging());
  }
  return {};
}

Status VmBuilder::create_vcpus() {
  const arch::CpuTopology topology{spec_.machine.vcpu_count, spec_.machine.smt ? arch::Smt::On : arch::Smt::Off};
  arch::normalize_cpuid(cpuid_, topology, arch::host_cpuid);
  Vcpu::install_kick_handler();
  for (std::uint8_t index = 0; index < spec_.machine.vcpu_count; ++index) {
    KvmVcpu kvm = WISP_TRY(vm_->kvm_->create_vcpu(index));
    arch::set_cpu_identity(cpuid_, topology, index);
    (void)WISP_TRY(kvm.set_cpuid(cpuid_));
    vm_->cpuids_.push_back(cpuid_);
    if (index == 0 && !template_.msrs.empty()) {
      // CPUID comes first: which MSRs a vCPU has depends on it.
      const auto host_msrs = WISP_TRY(kvm.msrs(arch::template_msr_indices(template_)));
      template_msrs_ = WISP_TRY(arch::template_msrs(template_, host_msrs));
    }
    (void)WISP_TRY(set_up_vcpu(kvm));
    vm_->vcpus_.push_back(std::make_unique<Vcpu>(index, std::move(kvm), vm_->devices_->ports(), vm_->devices_->mmio(),
                                                 vm_->metrics_.vcpu, *vm_));
  }
  for (auto& vcpu : vm_->vcpus_) {
    (void)WISP_TRY(vcpu->start());
  }
  return {};
}

// CPUID is set. The boot MSRs override those of the template.
Status VmBuilder::set_up_vcpu(const KvmVcpu& vcpu) {
  if (!template_msrs_.empty()) {
    (void)WISP_TRY(vcpu.set_msrs(template_msrs_));
  }
  (void)WISP_TRY(vcpu.set_msrs(arch::boot_msrs()));
  (void)WISP_TRY(vcpu.set_registers(arch::boot_registers(boot_.protocol, boot_.entry)));
  (void)WISP_TRY(vcpu.set_fpu(arch::boot_fpu()));
  const kvm_sregs at_reset = WISP_TRY(vcpu.special_registers());
  (void)WISP_TRY(vcpu.set_special_registers(arch::boot_special_registers(boot_.protocol, at_reset)));
  kvm_lapic_state lapic = WISP_TRY(vcpu.lapic());
  arch::set_local_interrupts(lapic);
  return vcpu.set_lapic(lapic);
}

}  // namespace wisp
