// KvmVcpu: one virtual CPU's descriptor and the page that it shares with the kernel. One thin method per ioctl.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/base/fd.h"

namespace wisp {

struct VcpuState;

class KvmVcpu {
 public:
  /// Maps the shared page of a fresh vCPU descriptor. `xsave_size_bytes`: KVM_CAP_XSAVE2 of the VM, 0 without it.
  static Result<KvmVcpu> map(Fd fd, std::size_t run_size_bytes, std::size_t xsave_size_bytes);
  KvmVcpu(KvmVcpu&& other) noexcept;
  KvmVcpu& operator=(KvmVcpu&&) = delete;
  ~KvmVcpu();

  Status set_cpuid(std::span<const kvm_cpuid_entry2> entries) const;
  /// Sets all MSRs or names the first that KVM refuses.
  Status set_msrs(std::span<const kvm_msr_entry> entries) const;
  /// KVM_GET_MSRS, in this order; ends before the first that KVM refuses, so fewer may come back.
  Result<std::vector<kvm_msr_entry>> msrs(std::span<const std::uint32_t> indices) const;
  Status set_registers(const kvm_regs& registers) const;
  Result<kvm_sregs> special_registers() const;
  Status set_special_registers(const kvm_sregs& registers) const;
  Status set_fpu(const kvm_fpu& fpu) const;
  Result<kvm_lapic_state> lapic() const;
  Status set_lapic(const kvm_lapic_state& state) const;
  /// KVM_KVMCLOCK_CTRL: tells the guest's watchdogs that it was paused. Guests without kvm-clock refuse; that is no
  /// error.
  bool note_paused() const;

  /// All of the vCPU's state (vcpu_state.h), while it is not in KVM_RUN. Every index must pass is_saved_msr().
  Result<VcpuState> save_state(std::span<const std::uint32_t> msr_indices) const;
  /// Into a vCPU that has never run. Its machine has its memory and interrupt controllers already.
  Status restore_state(const VcpuState& state) const;

  /// SSP of a vCPU whose CPUID offers shadow stacks (shadow_stack.h); fails on a KVM that does not have the register.
  Result<std::uint64_t> shadow_stack_pointer() const;
  Status set_shadow_stack_pointer(std::uint64_t pointer) const;

  /// KVM_RUN: 0, or the errno. Exit details are in shared().
  int run() const;
  kvm_run& shared() const { return *run_; }
  /// Makes a KVM_RUN that is about to be entered return at once with EINTR, after it has finished a pending access.
  void set_immediate_exit(std::uint8_t value) const;

 private:
  KvmVcpu(Fd fd, kvm_run* run, std::size_t run_size_bytes, std::size_t xsave_size_bytes)
      : fd_(std::move(fd)), run_(run), run_size_bytes_(run_size_bytes), xsave_size_bytes_(xsave_size_bytes) {}
  Result<std::vector<kvm_cpuid_entry2>> cpuid() const;
  Result<std::vector<std::byte>> save_xsave() const;
  Result<std::vector<kvm_msr_entry>> save_msrs(std::span<const std::uint32_t> indices) const;
  /// Scales the TSC when the saved frequency is another one, or says in the log that it cannot.
  void match_tsc(std::uint32_t saved_khz) const;
  Status restore_xsave(std::span<const std::byte> xsave) const;
  Status restore_msrs(std::span<const kvm_msr_entry> entries) const;

  Fd fd_;
  kvm_run* run_;
  std::size_t run_size_bytes_;
  std::size_t xsave_size_bytes_;
};

}  // namespace wisp
