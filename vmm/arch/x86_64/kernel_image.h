// Loading a kernel: what may be booted, and what is refused.
//
//   LoadedKernel kernel = WISP_TRY(load_kernel(fd, memory));
//   // kernel.protocol and kernel.entry tell how to enter it, kernel.end where free memory begins
//
// Two formats, recognised by their first bytes:
//   ELF      64-bit, little-endian, x86-64. Each PT_LOAD segment goes to its physical address. A note of type
//            XEN_ELFNOTE_PHYS32_ENTRY makes it a PVH kernel (preferred); otherwise e_entry is the Linux 64-bit entry.
//   bzImage  boot protocol 2.12 or newer with a 64-bit entry. The protected-mode part goes to code32_start.
//
// The file is not trusted. Counts and sizes have the limits below, sums are checked, segments lie in RAM at or above
// 1 MiB and do not overlap, and the entry points into bytes that came from the file. A refused kernel may have left
// parts in memory; the caller throws that memory away.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

enum class BootProtocol { Pvh, Linux64 };

/// Stock kernels have about five.
inline constexpr std::uint16_t kMaxProgramHeaders = 64;
/// All notes of a stock kernel take about 500 bytes.
inline constexpr std::uint64_t kMaxNoteBytes = 64 * 1024;

/// A bzImage's own setup header, to be handed back to it in the zero page: the bytes at offset 0x1f1 of the file.
inline constexpr std::uint64_t kSetupHeaderOffset = 0x1f1;
/// Behind it the zero page has fields of its own.
inline constexpr std::uint64_t kSetupHeaderLimit = 0x290;
using SetupHeader = std::vector<std::byte>;

struct LoadedKernel {
  BootProtocol protocol = BootProtocol::Linux64;
  GuestAddress entry;
  /// The first address that neither the image nor its zeroed data nor, for a bzImage, its unpacking needs.
  std::uint64_t end = 0;
  /// Empty for an ELF kernel.
  SetupHeader setup_header;
};

Result<LoadedKernel> load_kernel(FdRef file, const GuestMemory& memory);

}  // namespace wisp::arch
