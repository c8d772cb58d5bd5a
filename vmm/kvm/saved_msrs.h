// Which model-specific registers belong to a vCPU's state.
//
// KvmSystem::saved_msr_indices() asks KVM which MSRs it keeps (KVM_GET_MSR_INDEX_LIST) and leaves out what is not in
// the allow list. The same list decides what a snapshot may set: a file is untrusted, and KVM lets the monitor write
// more than it lets a guest write. Not in the list, on purpose:
//
//   VMX and SVM registers       nested virtualisation is never offered
//   APICBASE, EFER, FS/GS base  the special registers carry them; two sources could disagree
//   x2APIC (0x800..0x8ff)       the local APIC's state carries them; writing one can send an interrupt
//   PRED_CMD, UCODE_WRITE       commands, no state
//   MCG_CTL                     KVM refuses the value that it reports itself
//   KVM's wall clock            KVM answers the write by filling a structure in guest memory, which the guest has not
//                               asked for now; guests write the register each time they want to know (KVM msr.rst)
//   KVM's old clock (0x11, 0x12) other names of the new registers
#pragma once

#include <cstddef>
#include <cstdint>

namespace wisp {

/// More than KVM keeps; bounds what a snapshot can make us set.
inline constexpr std::size_t kMaxSavedMsrs = 512;

inline constexpr std::uint32_t kMsrTsc = 0x10;
inline constexpr std::uint32_t kMsrTscDeadline = 0x6e0;

/// May this MSR be saved and restored?
bool is_saved_msr(std::uint32_t index);

}  // namespace wisp
