// HotplugSlots: how the memory device gives the guest access to its region and takes it away, slot by slot.
//
// The machine implements it over KVM memory slots; slot i covers [i * slot size, (i + 1) * slot size) of the region. A
// slot exists while at least one of its blocks is plugged.
#pragma once

#include <cstddef>

#include "vmm/memory/guest_memory.h"

namespace wisp {

class HotplugSlots {
 public:
  virtual ~HotplugSlots() = default;
  /// From now on the guest reaches `range`. Called for a slot that is not there.
  virtual Status add_slot(std::size_t index, GuestRange range) = 0;
  /// When it returns without an error, no vCPU reaches the slot any more. Called for a slot that is there.
  virtual Status remove_slot(std::size_t index) = 0;
};

}  // namespace wisp
