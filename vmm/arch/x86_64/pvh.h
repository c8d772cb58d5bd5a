// The PVH boot protocol (Xen's "x86/HVM direct boot ABI"): how a kernel with a PVH note learns of its surroundings.
#pragma once

#include "vmm/arch/x86_64/linux64.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

/// Writes the start info at kPvhStartInfo, the memory map at kZeroPage, and a module entry when there is an initrd.
Status write_pvh_start_info(const GuestMemory& memory, const BootFacts& facts);

}  // namespace wisp::arch
