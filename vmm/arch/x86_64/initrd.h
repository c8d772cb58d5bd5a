// The initial RAM disk: as high as possible in the first RAM region, where it is in nobody's way.
#pragma once

#include <cstdint>

#include "vmm/base/fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

/// Loads the whole file to a page-aligned address below 3 GiB and at or above `lowest_free` (where the kernel ends).
/// Refuses an empty file and one that does not fit.
Result<GuestRange> load_initrd(FdRef file, const GuestMemory& memory, std::uint64_t lowest_free);

}  // namespace wisp::arch
