// VcpuState: everything that KVM knows about one vCPU, as a snapshot carries it.
//
//   VcpuState state = WISP_TRY(vcpu.save_state(WISP_TRY(system.saved_msr_indices())));   // vCPU not in KVM_RUN
//   state.save(writer);
//   ...
//   const VcpuState loaded = WISP_TRY(VcpuState::restore(reader));   // in another process, perhaps on another host
//   (void)WISP_TRY(reader.finish());
//   (void)WISP_TRY(fresh_vcpu.restore_state(loaded));                // guest memory and the irqchip are there already
//
// restore() treats the bytes as hostile. What it lets pass is what a guest of wisp can have brought about itself:
// counts and sizes are bounded, reserved fields come out as zero, MSRs outside the allow list (saved_msrs.h) and
// everything that belongs to nested virtualisation are refused. What remains KVM checks again; what it refuses is an
// Error that names the part.
//
// In the file, all integers little-endian: tsc_khz u32; mp_state u32; general registers (18 x u64, in the order of
// kvm_regs); special registers (kvm_sregs without padding); xsave, a byte string; XCRs: count u32, then (u32 number,
// u64 value) each; debug registers db0..3, dr6, dr7 (u64); the local APIC's page (1024 bytes); CPUID: count u32, then
// (function, index, flags, eax, ebx, ecx, edx) each; MSRs: count u32, then (u32 index, u64 value) each; events
// (kvm_vcpu_events without reserved bytes).
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "vmm/base/result.h"

namespace wisp {

/// struct kvm_xsave; also what a host without larger features (AMX tiles) needs.
inline constexpr std::size_t kMinXsaveBytes = 4096;
/// Several times what any processor has.
inline constexpr std::size_t kMaxXsaveBytes = 64 * 1024;

struct VcpuState {
  std::vector<kvm_cpuid_entry2> cpuid;
  kvm_mp_state mp_state{};
  kvm_regs registers{};
  kvm_sregs special_registers{};
  std::vector<std::byte> xsave;
  kvm_xcrs xcrs{};
  kvm_debugregs debug_registers{};
  kvm_lapic_state lapic{};
  std::vector<kvm_msr_entry> msrs;
  kvm_vcpu_events events{};
  /// 0: the host did not know.
  std::uint32_t tsc_khz = 0;

  void save(StateWriter& out) const;
  static Result<VcpuState> restore(StateReader& in);
};

/// Do the two frequencies differ so much that a guest's clock would go wrong (more than 250 ppm)?
bool tsc_differs(std::uint32_t saved_khz, std::uint32_t present_khz);

}  // namespace wisp
