// KvmVmState: what KVM keeps for the whole machine: timer (PIT), paravirtual clock, interrupt controllers.
//
//   const KvmVmState state = WISP_TRY(vm.save_state());                       // no vCPU runs
//   ...
//   (void)WISP_TRY(vm.restore_state(loaded, ClockOnRestore::AdvanceToNow));   // irqchip, PIT and vCPUs exist
//
// restore() treats the bytes as hostile and lets pass only what a guest can have brought about itself; see
// vcpu_state.h. What the guest cannot move (the IOAPIC's address, which PIC lines can be level-triggered) must be as
// KVM makes it.
//
// In the file, all integers little-endian: PIT: three channels (count u32, latched_count u16, then count_latched,
// status_latched, status, read_state, write_state, write_latch, rw_mode, mode, bcd, gate, u8 each, count_load_time u64)
// and flags u32; clock: clock u64, flags u32, realtime u64, host_tsc u64; both PICs: 16 bytes each, in the order of
// kvm_pic_state; IOAPIC: base_address u64, ioregsel, id, irr u32, 24 x u64.
#pragma once

#include <linux/kvm.h>

#include <array>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "vmm/base/result.h"

namespace wisp {

/// What kvm-clock shows after a restore.
enum class ClockOnRestore {
  Continue,      ///< the time of the capture; the pause did not happen
  AdvanceToNow,  ///< plus the wall-clock time that has passed since
};

struct KvmVmState {
  kvm_pit_state2 pit{};
  kvm_clock_data clock{};
  /// Indexed by chip_id: KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC.
  std::array<kvm_irqchip, KVM_NR_IRQCHIPS> irqchips{};

  void save(StateWriter& out) const;
  static Result<KvmVmState> restore(StateReader& in);
};

}  // namespace wisp
