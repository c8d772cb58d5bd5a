// What firmware would tell the guest about its physical memory: the E820 table, used by both boot protocols.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

/// The numbers are those of E820 and of PVH's memory map alike.
enum class MemoryKind : std::uint32_t { Ram = 1, Reserved = 2 };

struct MemoryMapEntry {
  GuestRange range;
  MemoryKind kind = MemoryKind::Ram;
};

/// Base memory, the firmware tables, the PCI configuration window, and each RAM region above the first MiB. What lies
/// between the RSDP and 1 MiB is not listed.
std::vector<MemoryMapEntry> memory_map(std::span<const GuestRange> ram);
/// The same for the regions of an existing memory.
std::vector<MemoryMapEntry> memory_map(const GuestMemory& memory);

}  // namespace wisp::arch
