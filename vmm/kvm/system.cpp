#include "vmm/kvm/system.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "vmm/kvm/capabilities.h"
#include "vmm/kvm/table.h"

namespace wisp {
namespace {

constexpr int kKvmApiVersion = 12;
constexpr int kMaxCreateAttempts = 5;

bool has_extension(FdRef kvm, unsigned long number) {
  return ::ioctl(kvm.raw(), KVM_CHECK_EXTENSION, number) > 0;
}

/// What the last change of this number says, if there is one.
std::optional<CapabilityChange> change_of(std::span<const KvmCapabilityChange> changes, std::uint32_t number) {
  std::optional<CapabilityChange> found;
  for (const KvmCapabilityChange& each : changes) {
    if (each.number == number) {
      found = each.change;
    }
  }
  return found;
}

Status check_needed(FdRef kvm, std::span<const KvmCapabilityChange> changes) {
  for (const KvmCapability& needed : needed_kvm_capabilities()) {
    const bool asked = change_of(changes, static_cast<std::uint32_t>(needed.number)) != CapabilityChange::Remove;
    if (asked && !has_extension(kvm, static_cast<unsigned long>(needed.number))) {
      return Error(ErrorCode::Unsupported, std::string("Kvm error: the host's KVM lacks ") + needed.name +
                                               ". Use a kernel that has it (5.10 or later)");
    }
  }
  return {};
}

Status check_added(FdRef kvm, std::span<const KvmCapabilityChange> changes) {
  for (const KvmCapabilityChange& each : changes) {
    if (change_of(changes, each.number) == CapabilityChange::Add && !has_extension(kvm, each.number)) {
      return Error(ErrorCode::Unsupported, "Kvm error: the host's KVM lacks capability " + std::to_string(each.number) +
                                               ", which the CPU template asks for. Use a host that has it or remove "
                                               "the number from kvm_capabilities");
    }
  }
  return {};
}

}  // namespace

Result<KvmSystem> KvmSystem::open(const char* path) {
  return open(path, {});
}

Result<KvmSystem> KvmSystem::open(const char* path, std::span<const KvmCapabilityChange> changes) {
  Fd fd(::open(path, O_RDWR | O_CLOEXEC));
  if (!fd.valid()) {
    const char* remedy = errno == EACCES ? "Add the user to the kvm group, or give it access to the device"
                                         : "Load the kvm module and enable virtualisation in the firmware";
    return Error::host(errno, std::string("Kvm error: cannot open '") + path + "'", remedy);
  }
  const int version = ::ioctl(fd.raw(), KVM_GET_API_VERSION, 0);
  if (version != kKvmApiVersion) {
    return Error(ErrorCode::Unsupported, std::string("Kvm error: '") + path + "' answers API version " +
                                             std::to_string(version) + ", wisp needs 12. Is it the KVM device?");
  }
  (void)WISP_TRY(check_needed(fd.ref(), changes));
  (void)WISP_TRY(check_added(fd.ref(), changes));
  const int run_size = ::ioctl(fd.raw(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size < static_cast<int>(sizeof(kvm_run))) {
    return Error::host(errno, "Kvm error: cannot learn the size of the vCPU's shared page");
  }
  return KvmSystem(std::move(fd), static_cast<std::size_t>(run_size));
}

Result<KvmVm> KvmSystem::create_vm() const {
  for (int attempt = 1;; ++attempt) {
    Fd vm(::ioctl(fd_.raw(), KVM_CREATE_VM, 0));
    if (vm.valid()) {
      return KvmVm(std::move(vm), run_size_bytes_);
    }
    if (errno != EINTR || attempt == kMaxCreateAttempts) {
      return Error::host(errno, "Kvm error: cannot create a VM");
    }
  }
}

Result<std::vector<kvm_cpuid_entry2>> KvmSystem::supported_cpuid() const {
  KvmTable<kvm_cpuid_entry2> table(kMaxCpuidEntries);
  if (::ioctl(fd_.raw(), kKvmGetSupportedCpuid, table.argument()) != 0) {
    return Error::host(errno, "Kvm error: cannot read the supported CPUID");
  }
  return table.entries();
}

std::uint32_t KvmSystem::max_vcpus() const {
  return static_cast<std::uint32_t>(std::max(0, ::ioctl(fd_.raw(), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS)));
}

int kvm_api_version_of(const char* path) {
  const Fd fd(::open(path, O_RDWR | O_CLOEXEC));
  return fd.valid() ? ::ioctl(fd.raw(), KVM_GET_API_VERSION, 0) : -1;
}

int kvm_capability_of(const char* path, int number) {
  const Fd fd(::open(path, O_RDWR | O_CLOEXEC));
  return fd.valid() ? std::max(0, ::ioctl(fd.raw(), KVM_CHECK_EXTENSION, number)) : 0;
}

}  // namespace wisp
