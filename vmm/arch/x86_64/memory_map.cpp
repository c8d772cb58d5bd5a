#include "vmm/arch/x86_64/memory_map.h"

#include <algorithm>

#include "vmm/arch/x86_64/layout.h"

namespace wisp::arch {

std::vector<MemoryMapEntry> memory_map(std::span<const GuestRange> ram) {
  std::vector<MemoryMapEntry> entries{
      {{GuestAddress(0), kSystemArea.start.value()}, MemoryKind::Ram},
      {kSystemArea, MemoryKind::Reserved},
      {kPciConfigWindow, MemoryKind::Reserved},
  };
  for (const GuestRange& range : ram) {
    const std::uint64_t start = std::max(range.start.value(), kKernelMinimum);
    if (start < end_of(range)) {
      entries.push_back({{GuestAddress(start), end_of(range) - start}, MemoryKind::Ram});
    }
  }
  return entries;
}

std::vector<MemoryMapEntry> memory_map(const GuestMemory& memory) {
  std::vector<GuestRange> ram;
  for (std::size_t index = 0; index < memory.region_count(); ++index) {
    // Hot-pluggable memory must not be found by reading the map: its driver alone adds it (virtio 1.2 section 5.15.5).
    if (memory.region_kind(index) == RegionKind::Ram) {
      ram.push_back(memory.region_range(index));
    }
  }
  return memory_map(ram);
}

}  // namespace wisp::arch
