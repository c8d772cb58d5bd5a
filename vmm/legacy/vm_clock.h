// VmClock: a page that tells the guest that its clocks jumped or that it was restored (the VMClock specification of the
// UAPI group; the structure is that of linux/vmclock-abi.h).
//
//   auto clock = WISP_TRY(VmClock::create(memory, GenerationPage::Fresh));      // start: the page is written
//   auto clock = WISP_TRY(VmClock::create(memory, GenerationPage::Restored));   // restore: memory is as it was saved
//   clock.disrupt();                                                            // the counters go on, then the
//   interrupt
//
// The guest maps the page (ACPI device VCLK) and reads it under a sequence lock: seq_count is odd while the others
// change. disruption_marker counts jumps of time, vm_generation_counter restores. The page never tells the time: the
// counter is "invalid" and the status "unknown", so that guests use it for these two counters only.
//
// event() is bound to line kVmClockGsi. The page is guest memory, so what disrupt() finds there is the guest's: it is
// counted up modulo 2^64 and decides nothing.
#pragma once

#include "vmm/arch/x86_64/layout.h"
#include "vmm/events/event_fd.h"
#include "vmm/legacy/vm_gen_id.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

class VmClock {
 public:
  static constexpr GuestRange kPlace = arch::kVmClock;
  static constexpr std::uint32_t kGsi = arch::kVmClockGsi;

  /// `memory` must outlive it.
  static Result<VmClock> create(const GuestMemory& memory, GenerationPage page);

  Status disrupt() const;
  FdRef event() const { return event_.ref(); }

 private:
  VmClock(const GuestMemory& memory, EventFd event) : memory_(&memory), event_(std::move(event)) {}

  const GuestMemory* memory_;
  EventFd event_;
};

}  // namespace wisp
