// ELF kernels; the rules are in kernel_image.h.
#pragma once

#include "vmm/arch/x86_64/guest_image.h"
#include "vmm/arch/x86_64/kernel_image.h"

namespace wisp::arch {

/// `image` begins with the ELF magic.
Result<LoadedKernel> load_elf(const GuestImage& image, std::uint64_t file_size, const GuestMemory& memory);

}  // namespace wisp::arch
