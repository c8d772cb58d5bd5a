#include "vmm/control/configuration.h"

#include <algorithm>

#include "vmm/base/log.h"
#include "vmm/base/unix_address.h"

namespace wisp {
namespace {

Status check_machine(const MachineConfig& config) {
  const bool odd_smt = config.smt && config.vcpu_count != 1 && config.vcpu_count % 2 != 0;
  if (config.vcpu_count == 0 || config.vcpu_count > kMaxVcpuCount || odd_smt) {
    return Error(ErrorCode::InvalidArgument,
                 "The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even number if SMT is "
                 "enabled. (32 is the highest that is accepted, vcpu_count was " +
                     std::to_string(config.vcpu_count) + ".)");
  }
  if (config.memory_mib > kMaxMemoryMib) {
    return Error(ErrorCode::InvalidArgument, "The memory size (MiB) is larger than the limit of " +
                                                 std::to_string(kMaxMemoryMib) + ", mem_size_mib was " +
                                                 std::to_string(config.memory_mib) + ".");
  }
  if (config.memory_mib == 0 || (config.huge_pages != HugePages::None && config.memory_mib % 2 != 0)) {
    return Error(
        ErrorCode::InvalidArgument,
        "The memory size (MiB) is either 0, or not a multiple of the configured page size. (mem_size_mib was " +
            std::to_string(config.memory_mib) + ".)");
  }
  return {};
}

Status check_boot_args(const std::optional<std::string>& boot_args) {
  if (!boot_args) {
    return {};
  }
  if (boot_args->find('\0') != std::string::npos) {
    return Error(ErrorCode::InvalidArgument,
                 "The kernel command line is invalid: boot_args contains a NUL byte. Remove it from boot_args");
  }
  if (boot_args->size() >= kMaxCommandLineBytes) {
    return Error(ErrorCode::InvalidArgument, "The kernel command line is invalid: boot_args has " +
                                                 std::to_string(boot_args->size()) + " bytes, the limit is " +
                                                 std::to_string(kMaxCommandLineBytes - 1) + ". Shorten boot_args");
  }
  return {};
}

}  // namespace

Status Configuration::set_machine(const MachineConfig& config) {
  (void)WISP_TRY(check_machine(config));
  if (balloon_ && balloon_->amount_mib > config.memory_mib) {
    return Error(ErrorCode::InvalidArgument,
                 "The memory size (MiB) is smaller than the previously set balloon device target size. (mem_size_mib "
                 "was " +
                     std::to_string(config.memory_mib) + ", amount_mib is " + std::to_string(balloon_->amount_mib) +
                     ".)");
  }
  const std::optional<CpuTemplate> earlier = machine_.cpu_template;
  machine_ = config;
  if (!config.cpu_template) {
    machine_.cpu_template = earlier;  // a request that does not name one leaves it alone
  } else {
    cpu_template_.reset();
    if (*config.cpu_template == CpuTemplate::None) {
      machine_.cpu_template.reset();
    }
  }
  return {};
}

void Configuration::set_cpu_template(CustomCpuTemplate custom) {
  machine_.cpu_template.reset();
  cpu_template_ = std::move(custom);
}

Status Configuration::patch_machine(const MachineConfigPatch& patch) {
  MachineConfig changed = machine_;
  changed.cpu_template = patch.cpu_template;
  changed.vcpu_count = patch.vcpu_count.value_or(changed.vcpu_count);
  changed.memory_mib = patch.memory_mib.value_or(changed.memory_mib);
  changed.smt = patch.smt.value_or(changed.smt);
  changed.track_dirty_pages = patch.track_dirty_pages.value_or(changed.track_dirty_pages);
  changed.huge_pages = patch.huge_pages.value_or(changed.huge_pages);
  return set_machine(changed);
}

Status Configuration::set_boot_source(BootSource source) {
  (void)WISP_TRY(check_boot_args(source.boot_args));
  Boot boot{std::move(source), Fd(), std::nullopt};
  auto kernel = open_data_file("kernel image", boot.source.kernel_image_path, Access::ReadOnly, FileKind::BootImage);
  if (!kernel.ok()) {
    return std::move(kernel).error().with_prefix("The kernel file cannot be opened: ");
  }
  boot.kernel = std::move(kernel).value();
  if (boot.source.initrd_path) {
    auto initrd = open_data_file("initrd", *boot.source.initrd_path, Access::ReadOnly, FileKind::BootImage);
    if (!initrd.ok()) {
      return std::move(initrd).error().with_prefix(
          "The initrd file cannot be opened due to invalid path or invalid permissions. ");
    }
    boot.initrd = std::move(initrd).value();
  }
  boot_ = std::move(boot);
  return {};
}

Status Configuration::set_drive(DriveConfig config, std::optional<DiskFile> given) {
  const auto same = std::find_if(drives_.begin(), drives_.end(),
                                 [&](const Drive& drive) { return drive.config.drive_id == config.drive_id; });
  const bool other_root = std::any_of(drives_.begin(), drives_.end(), [&](const Drive& drive) {
    return drive.config.is_root_device && drive.config.drive_id != config.drive_id;
  });
  if (config.is_root_device && other_root) {
    return Error(ErrorCode::AlreadyExists,
                 "A root block device already exists! Set is_root_device to false for drive '" + config.drive_id +
                     "' or for the other one");
  }
  if (config.is_root_device && std::ranges::any_of(pmem_, &PmemConfig::root_device)) {
    return Error(ErrorCode::AlreadyExists,
                 "Attempt to add block as a root device while the root device defined as a pmem device");
  }
  std::optional<DiskFile> file = std::move(given);
  if (config.socket) {
    auto address = unix_address(*config.socket);
    if (!address.ok()) {
      return std::move(address).error().with_prefix("Unable to create the virtio block device: socket: ");
    }
    WISP_LOG(Warn, "[DevPreview] vhost-user-blk device is in development preview.");
  } else if (!file) {
    auto disk = DiskFile::open(config);
    if (!disk.ok()) {
      return std::move(disk).error().with_prefix("Unable to create the virtio block device: Virtio backend error: ");
    }
    file = std::move(disk).value();
  }
  Drive drive{std::move(config), std::move(file)};
  if (same != drives_.end()) {
    *same = std::move(drive);
  } else {
    drives_.push_back(std::move(drive));
  }
  std::stable_partition(drives_.begin(), drives_.end(), [](const Drive& each) { return each.config.is_root_device; });
  return {};
}

}  // namespace wisp
