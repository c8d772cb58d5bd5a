// VmGenId: a number that changes when the machine is resumed from a snapshot (Microsoft, "Virtual Machine Generation
// ID", 2012).
//
// Two machines from one snapshot have the same random number generator, keys and identifiers in memory. The guest's
// kernel reads 16 bytes at kVmGenId (ACPI device VGEN, ADDR), and when they change it reseeds.
//
//   auto id = WISP_TRY(VmGenId::create(memory, GenerationPage::Fresh));      // start: a number, no notification
//   auto id = WISP_TRY(VmGenId::create(memory, GenerationPage::Restored));   // restore: memory is as it was saved
//   WISP_TRY(id.renew());                                                    // another number, then the interrupt
//
// event() is bound to line kVmGenIdGsi; the event device (vmm/arch/x86_64/acpi) turns it into a notification. renew()
// comes after the interrupt controllers are restored and before a vCPU runs. The bytes are guest memory: a guest that
// writes there fools itself only.
#pragma once

#include "vmm/arch/x86_64/layout.h"
#include "vmm/events/event_fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// Whether a generation device's page must be written first or holds what was saved.
enum class GenerationPage { Fresh, Restored };

class VmGenId {
 public:
  static constexpr GuestRange kPlace = arch::kVmGenId;
  static constexpr std::uint32_t kGsi = arch::kVmGenIdGsi;

  /// `memory` must outlive it.
  static Result<VmGenId> create(const GuestMemory& memory, GenerationPage page);

  Status renew() const;
  FdRef event() const { return event_.ref(); }

 private:
  VmGenId(const GuestMemory& memory, EventFd event) : memory_(&memory), event_(std::move(event)) {}
  Status write_new() const;

  const GuestMemory* memory_;
  EventFd event_;
};

}  // namespace wisp
