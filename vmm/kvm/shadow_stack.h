// Shadow stacks (CET): what a snapshot needs beside the MSRs U_CET, S_CET and PL0_SSP to PL3_SSP, which are in the list
// of saved MSRs (saved_msrs.h). The current pointer, SSP, is no MSR; KVM shows it as a register of its own where it
// lets guests have shadow stacks (Linux 6.18 and later, on processors that have them). Elsewhere nobody offers them to
// a guest.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>

namespace wisp {

/// KVM_X86_REG_KVM(KVM_REG_GUEST_SSP): 64 bits, of the type "KVM's own" (3), number 0.
inline constexpr std::uint64_t kGuestSspRegister = 0x2030'0003'0000'0000;

/// CPUID 7.0, ecx bit 7.
bool offers_shadow_stacks(std::span<const kvm_cpuid_entry2> cpuid);

}  // namespace wisp
