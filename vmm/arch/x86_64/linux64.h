// The Linux 64-bit boot protocol: the zero page that tells an already loaded kernel about its surroundings.
//
// Kernel documentation: "The Linux/x86 Boot Protocol" and "Zero Page". A bzImage gets its own setup header back; an ELF
// kernel gets the few fields of one that a kernel entered this way reads.
#pragma once

#include <optional>

#include "vmm/arch/x86_64/kernel_image.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

/// What both boot protocols tell the kernel.
struct BootFacts {
  std::uint64_t command_line_size_bytes = 0;  ///< without its terminator
  std::optional<GuestRange> initrd;
};

Status write_zero_page(const GuestMemory& memory, const LoadedKernel& kernel, const BootFacts& facts);

}  // namespace wisp::arch
