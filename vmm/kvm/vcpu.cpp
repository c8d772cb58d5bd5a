#include "vmm/kvm/vcpu.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "vmm/kvm/table.h"

namespace wisp {
namespace {

Status check(int ioctl_result, const char* what) {
  if (ioctl_result < 0) {
    return Error::host(errno, std::string("Kvm error: cannot ") + what);
  }
  return {};
}

}  // namespace

Result<KvmVcpu> KvmVcpu::map(Fd fd, std::size_t run_size_bytes, std::size_t xsave_size_bytes) {
  void* shared = ::mmap(nullptr, run_size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.raw(), 0);
  if (shared == MAP_FAILED) {
    return Error::host(errno, "Kvm error: cannot map a vCPU's shared page");
  }
  return KvmVcpu(std::move(fd), static_cast<kvm_run*>(shared), run_size_bytes, xsave_size_bytes);
}

KvmVcpu::KvmVcpu(KvmVcpu&& other) noexcept
    : fd_(std::move(other.fd_)),
      run_(std::exchange(other.run_, nullptr)),
      run_size_bytes_(other.run_size_bytes_),
      xsave_size_bytes_(other.xsave_size_bytes_) {}

KvmVcpu::~KvmVcpu() {
  if (run_ != nullptr) {
    ::munmap(run_, run_size_bytes_);
  }
}

Status KvmVcpu::set_cpuid(std::span<const kvm_cpuid_entry2> entries) const {
  KvmTable<kvm_cpuid_entry2> table(entries);
  return check(::ioctl(fd_.raw(), kKvmSetCpuid2, table.argument()), "set a vCPU's CPUID");
}

Status KvmVcpu::set_msrs(std::span<const kvm_msr_entry> entries) const {
  KvmTable<kvm_msr_entry> table(entries);
  const int set_count = ::ioctl(fd_.raw(), kKvmSetMsrs, table.argument());
  if (set_count >= 0 && static_cast<std::size_t>(set_count) < entries.size()) {
    const kvm_msr_entry& refused = entries[static_cast<std::size_t>(set_count)];
    char text[96];
    std::snprintf(text, sizeof(text), "Kvm error: KVM refuses to set MSR 0x%x to 0x%llx", refused.index,
                  static_cast<unsigned long long>(refused.data));
    return Error(ErrorCode::HostFault, text);
  }
  return check(set_count, "set a vCPU's MSRs");
}

Result<std::vector<kvm_msr_entry>> KvmVcpu::msrs(std::span<const std::uint32_t> indices) const {
  std::vector<kvm_msr_entry> wanted(indices.size());
  for (std::size_t position = 0; position < indices.size(); ++position) {
    wanted[position].index = indices[position];
  }
  KvmTable<kvm_msr_entry> table{std::span<const kvm_msr_entry>(wanted)};
  const int read_count = ::ioctl(fd_.raw(), kKvmGetMsrs, table.argument());
  (void)WISP_TRY(check(read_count, "read a vCPU's MSRs"));
  std::vector<kvm_msr_entry> entries = table.entries();
  entries.resize(std::min(entries.size(), static_cast<std::size_t>(read_count)));
  return entries;
}

Status KvmVcpu::set_registers(const kvm_regs& registers) const {
  return check(::ioctl(fd_.raw(), KVM_SET_REGS, &registers), "set a vCPU's registers");
}

Result<kvm_sregs> KvmVcpu::special_registers() const {
  kvm_sregs registers{};
  (void)WISP_TRY(check(::ioctl(fd_.raw(), KVM_GET_SREGS, &registers), "read a vCPU's special registers"));
  return registers;
}

Status KvmVcpu::set_special_registers(const kvm_sregs& registers) const {
  return check(::ioctl(fd_.raw(), KVM_SET_SREGS, &registers), "set a vCPU's special registers");
}

Status KvmVcpu::set_fpu(const kvm_fpu& fpu) const {
  return check(::ioctl(fd_.raw(), KVM_SET_FPU, &fpu), "set a vCPU's floating-point state");
}

Result<kvm_lapic_state> KvmVcpu::lapic() const {
  kvm_lapic_state state{};
  (void)WISP_TRY(check(::ioctl(fd_.raw(), KVM_GET_LAPIC, &state), "read a vCPU's local APIC"));
  return state;
}

Status KvmVcpu::set_lapic(const kvm_lapic_state& state) const {
  return check(::ioctl(fd_.raw(), KVM_SET_LAPIC, &state), "set a vCPU's local APIC");
}

bool KvmVcpu::note_paused() const {
  return ::ioctl(fd_.raw(), KVM_KVMCLOCK_CTRL, 0) == 0;
}

int KvmVcpu::run() const {
  return ::ioctl(fd_.raw(), KVM_RUN, 0) == 0 ? 0 : errno;
}

void KvmVcpu::set_immediate_exit(std::uint8_t value) const {
  // Written by the loop while the vCPU's thread may be about to enter KVM_RUN; the kernel reads the same byte.
  std::atomic_ref(run_->immediate_exit).store(value, std::memory_order_seq_cst);
}

}  // namespace wisp
