// The page tables that a kernel entered in 64-bit mode starts on: the first GiB mapped to itself with 2 MiB pages.
#pragma once

#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

/// A 64-bit entry point must lie below this address.
inline constexpr std::uint64_t kIdentityMapEnd = std::uint64_t{1} << 30;

Status write_page_tables(const GuestMemory& memory);

}  // namespace wisp::arch
