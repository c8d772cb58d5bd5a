// bzImage kernels; the rules are in kernel_image.h. Field names and offsets are those of the Linux/x86 boot protocol.
#pragma once

#include "vmm/arch/x86_64/guest_image.h"
#include "vmm/arch/x86_64/kernel_image.h"

namespace wisp::arch {

/// `image` has the magic "HdrS" at 0x202.
Result<LoadedKernel> load_bz_image(const GuestImage& image, std::uint64_t file_size, const GuestMemory& memory);

}  // namespace wisp::arch
