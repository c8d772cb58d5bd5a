#include "vmm/arch/x86_64/layout.h"

#include <algorithm>

namespace wisp::arch {

std::vector<GuestRange> ram_ranges(std::uint64_t memory_bytes) {
  struct Area {
    std::uint64_t start;
    std::uint64_t capacity_bytes;
  };
  constexpr std::array<Area, 3> kAreas{{{0, kLowRamEnd},
                                        {kHighRamStart, kHighRamEnd - kHighRamStart},
                                        {kFarRamStart, ~std::uint64_t{0} - kFarRamStart}}};
  std::vector<GuestRange> ranges;
  for (const Area& area : kAreas) {
    const std::uint64_t here = std::min(memory_bytes, area.capacity_bytes);
    if (here > 0) {
      ranges.push_back({GuestAddress(area.start), here});
    }
    memory_bytes -= here;
  }
  return ranges;
}

}  // namespace wisp::arch
