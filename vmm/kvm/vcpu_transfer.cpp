// KvmVcpu::save_state and restore_state: the order of the ioctls, which KVM does not leave free.
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "vmm/base/log.h"
#include "vmm/kvm/saved_msrs.h"
#include "vmm/kvm/shadow_stack.h"
#include "vmm/kvm/table.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vcpu_state.h"

namespace wisp {
namespace {

/// KVM takes fewer than 256 at a time (MAX_IO_MSRS).
constexpr std::size_t kMsrsPerCall = 255;

constexpr std::size_t kLapicTimerEntry = 0x320;
constexpr std::uint32_t kTimerModeMask = 3U << 17;
constexpr std::uint32_t kTimerModeDeadline = 2U << 17;

Status transfer(FdRef vcpu, unsigned long request, void* argument, const char* what) {
  if (::ioctl(vcpu.raw(), request, argument) < 0) {
    return Error::host(errno, std::string("Kvm error: cannot ") + what);
  }
  return {};
}

/// KVM takes its arguments by non-const pointers, also what it only reads.
template <typename Argument>
Status set(FdRef vcpu, unsigned long request, const Argument& argument, const char* what) {
  Argument copy = argument;
  return transfer(vcpu, request, &copy, what);
}

std::string msr_name(std::uint32_t index) {
  char text[32];
  std::snprintf(text, sizeof(text), "MSR 0x%x", index);
  return text;
}

/// The deadline's register is written last: KVM compares it with the TSC and needs the APIC's timer mode.
std::vector<std::uint32_t> deadline_last(std::span<const std::uint32_t> indices) {
  std::vector<std::uint32_t> ordered(indices.begin(), indices.end());
  std::stable_partition(ordered.begin(), ordered.end(), [](std::uint32_t index) { return index != kMsrTscDeadline; });
  return ordered;
}

bool timer_waits_for_deadline(const kvm_lapic_state& lapic) {
  std::uint32_t entry = 0;
  std::memcpy(&entry, &lapic.regs[kLapicTimerEntry], sizeof(entry));
  return (entry & kTimerModeMask) == kTimerModeDeadline;
}

kvm_msr_entry* find_msr(std::vector<kvm_msr_entry>& msrs, std::uint32_t index) {
  const auto found = std::ranges::find(msrs, index, &kvm_msr_entry::index);
  return found == msrs.end() ? nullptr : &*found;
}

/// A deadline that has passed reads as zero even when its interrupt has not arrived yet. With the present time instead,
/// the timer fires at once after a restore: an interrupt too many is harmless, one too few stops the guest.
void keep_timer_alive(VcpuState& state) {
  kvm_msr_entry* deadline = find_msr(state.msrs, kMsrTscDeadline);
  const kvm_msr_entry* tsc = find_msr(state.msrs, kMsrTsc);
  if (deadline != nullptr && tsc != nullptr && deadline->data == 0 && timer_waits_for_deadline(state.lapic)) {
    deadline->data = tsc->data;
  }
}

}  // namespace

Result<std::vector<kvm_msr_entry>> KvmVcpu::save_msrs(std::span<const std::uint32_t> indices) const {
  if (indices.size() > kMaxSavedMsrs) {
    return Error(ErrorCode::LimitExceeded, "Kvm error: more MSRs than a snapshot can hold");
  }
  for (const std::uint32_t index : indices) {
    if (!is_saved_msr(index)) {
      return Error(ErrorCode::Unsupported,
                   "Kvm error: " + msr_name(index) + " cannot be part of a snapshot. Leave it out of the CPU template");
    }
  }
  const std::vector<std::uint32_t> ordered = deadline_last(indices);
  std::vector<kvm_msr_entry> saved;
  std::size_t position = 0;
  while (position < ordered.size()) {
    const std::size_t count = std::min(kMsrsPerCall, ordered.size() - position);
    const std::vector<kvm_msr_entry> part = WISP_TRY(msrs(std::span(ordered).subspan(position, count)));
    saved.insert(saved.end(), part.begin(), part.end());
    position += part.size();
    if (part.size() < count) {
      // Listed, but not for this vCPU's model: then the guest cannot have written it either.
      WISP_LOG(Warn, "Snapshot: KVM does not let us read %s; left out", msr_name(ordered[position]).c_str());
      ++position;
    }
  }
  return saved;
}

Result<std::vector<kvm_cpuid_entry2>> KvmVcpu::cpuid() const {
  KvmTable<kvm_cpuid_entry2> table(kMaxCpuidEntries);
  (void)WISP_TRY(transfer(fd_.ref(), kKvmGetCpuid2, table.argument(), "read a vCPU's CPUID"));
  return table.entries();
}

Result<std::vector<std::byte>> KvmVcpu::save_xsave() const {
  std::vector<std::byte> area(std::max(xsave_size_bytes_, kMinXsaveBytes));
  const unsigned long request = xsave_size_bytes_ == 0 ? kKvmGetXsave : kKvmGetXsave2;
  (void)WISP_TRY(transfer(fd_.ref(), request, area.data(), "read a vCPU's floating-point state"));
  return area;
}

Result<VcpuState> KvmVcpu::save_state(std::span<const std::uint32_t> msr_indices) const {
  VcpuState state;
  const FdRef vcpu = fd_.ref();
  // First: reading it makes KVM take up INIT and SIPI that have arrived, which changes the registers.
  (void)WISP_TRY(transfer(vcpu, KVM_GET_MP_STATE, &state.mp_state, "read a vCPU's run state"));
  (void)WISP_TRY(transfer(vcpu, KVM_GET_REGS, &state.registers, "read a vCPU's registers"));
  state.special_registers = WISP_TRY(special_registers());
  state.xsave = WISP_TRY(save_xsave());
  (void)WISP_TRY(transfer(vcpu, KVM_GET_XCRS, &state.xcrs, "read a vCPU's extended control registers"));
  (void)WISP_TRY(transfer(vcpu, KVM_GET_DEBUGREGS, &state.debug_registers, "read a vCPU's debug registers"));
  state.lapic = WISP_TRY(lapic());
  // Fails on hosts whose TSC is not stable; then there is no frequency to keep.
  const int tsc_khz = ::ioctl(vcpu.raw(), KVM_GET_TSC_KHZ, 0);
  state.tsc_khz = tsc_khz > 0 ? static_cast<std::uint32_t>(tsc_khz) : 0;
  state.cpuid = WISP_TRY(cpuid());
  state.msrs = WISP_TRY(save_msrs(msr_indices));
  keep_timer_alive(state);
  (void)WISP_TRY(transfer(vcpu, KVM_GET_VCPU_EVENTS, &state.events, "read a vCPU's pending events"));
  return state;
}

void KvmVcpu::match_tsc(std::uint32_t saved_khz) const {
  const int present_khz = ::ioctl(fd_.raw(), KVM_GET_TSC_KHZ, 0);
  if (saved_khz == 0 || present_khz <= 0 || !tsc_differs(saved_khz, static_cast<std::uint32_t>(present_khz))) {
    return;
  }
  if (::ioctl(fd_.raw(), KVM_SET_TSC_KHZ, static_cast<unsigned long>(saved_khz)) != 0) {
    WISP_LOG(Warn,
             "Snapshot: the guest's TSC ran at %u kHz, this host's runs at %d kHz and cannot be scaled; guests that "
             "count time with it go wrong",
             saved_khz, present_khz);
  }
}

Status KvmVcpu::restore_xsave(std::span<const std::byte> xsave) const {
  // KVM reads as much as this host needs, whatever we have.
  if (xsave.size() != std::max(xsave_size_bytes_, kMinXsaveBytes)) {
    return Error(ErrorCode::Unsupported,
                 "Kvm error: the snapshot has " + std::to_string(xsave.size()) +
                     " bytes of floating-point state, this host's processor " +
                     std::to_string(std::max(xsave_size_bytes_, kMinXsaveBytes)) +
                     ". The snapshot needs another CPU: load it on a host of the kind that it was taken on");
  }
  std::vector<std::byte> copy(xsave.begin(), xsave.end());
  return transfer(fd_.ref(), kKvmSetXsave, copy.data(), "set a vCPU's floating-point state");
}

Status KvmVcpu::restore_msrs(std::span<const kvm_msr_entry> entries) const {
  while (!entries.empty()) {
    const std::size_t count = std::min(kMsrsPerCall, entries.size());
    (void)WISP_TRY(set_msrs(entries.first(count)));
    entries = entries.subspan(count);
  }
  return {};
}

Result<std::uint64_t> KvmVcpu::shadow_stack_pointer() const {
  std::uint64_t pointer = 0;
  kvm_one_reg access{kGuestSspRegister, reinterpret_cast<std::uintptr_t>(&pointer)};
  (void)WISP_TRY(transfer(fd_.ref(), KVM_GET_ONE_REG, &access, "read a vCPU's shadow stack pointer"));
  return pointer;
}

Status KvmVcpu::set_shadow_stack_pointer(std::uint64_t pointer) const {
  kvm_one_reg access{kGuestSspRegister, reinterpret_cast<std::uintptr_t>(&pointer)};
  return transfer(fd_.ref(), KVM_SET_ONE_REG, &access, "set a vCPU's shadow stack pointer");
}

Status KvmVcpu::restore_state(const VcpuState& state) const {
  const FdRef vcpu = fd_.ref();
  match_tsc(state.tsc_khz);
  // CPUID decides which bits of all that follows are valid.
  (void)WISP_TRY(set_cpuid(state.cpuid));
  (void)WISP_TRY(set(vcpu, KVM_SET_MP_STATE, state.mp_state, "set a vCPU's run state"));
  (void)WISP_TRY(set_registers(state.registers));
  (void)WISP_TRY(set_special_registers(state.special_registers));
  (void)WISP_TRY(restore_xsave(state.xsave));
  if (state.xcrs.nr_xcrs > 0) {  // a host without XSAVE has none and refuses the call
    (void)WISP_TRY(set(vcpu, KVM_SET_XCRS, state.xcrs, "set a vCPU's extended control registers"));
  }
  (void)WISP_TRY(set(vcpu, KVM_SET_DEBUGREGS, state.debug_registers, "set a vCPU's debug registers"));
  // Behind the special registers, which say where the APIC is and in which mode; before the MSRs: the deadline.
  (void)WISP_TRY(set_lapic(state.lapic));
  (void)WISP_TRY(restore_msrs(state.msrs));
  return set(vcpu, KVM_SET_VCPU_EVENTS, state.events, "set a vCPU's pending events");
}

}  // namespace wisp
