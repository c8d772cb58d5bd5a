// KvmSystem: /dev/kvm itself (kernel Documentation/virt/kvm/api.rst). One thin method per ioctl; it decides nothing.
#pragma once

#include <linux/kvm.h>

#include <span>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/config/cpu_template.h"
#include "vmm/kvm/vm.h"

namespace wisp {

class KvmSystem {
 public:
  /// Opens `path` and checks the API version and the capabilities that wisp needs; an Error says which is missing.
  static Result<KvmSystem> open(const char* path = "/dev/kvm");
  /// The same with a CPU template's changes to the list of needed capabilities; the last change of a number wins.
  static Result<KvmSystem> open(const char* path, std::span<const KvmCapabilityChange> changes);

  /// KVM_CREATE_VM; repeated when a signal interrupts it (bounded).
  Result<KvmVm> create_vm() const;
  /// KVM_GET_SUPPORTED_CPUID.
  Result<std::vector<kvm_cpuid_entry2>> supported_cpuid() const;
  /// The MSRs that belong to a vCPU's state (saved_msrs.h).
  Result<std::vector<std::uint32_t>> saved_msr_indices() const;
  /// How many vCPUs one machine can have, as KVM says.
  std::uint32_t max_vcpus() const;

 private:
  explicit KvmSystem(Fd fd, std::size_t run_size_bytes) : fd_(std::move(fd)), run_size_bytes_(run_size_bytes) {}
  Fd fd_;
  std::size_t run_size_bytes_;
};

/// For those who only ask (wisp doctor): the API version of the device at `path`, -1 when it cannot be asked.
int kvm_api_version_of(const char* path);
/// KVM_CHECK_EXTENSION on the device at `path`; 0 when it cannot be asked.
int kvm_capability_of(const char* path, int number);

}  // namespace wisp
