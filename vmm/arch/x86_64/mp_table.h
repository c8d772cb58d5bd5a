// The Intel MultiProcessor table (specification 1.4): processors and interrupt wiring for kernels without ACPI.
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/arch/x86_64/layout.h"

namespace wisp::arch {

/// The whole table, to be placed at `address` (the floating pointer first, the configuration behind it).
std::vector<std::byte> mp_table(std::uint8_t vcpu_count, GuestAddress address);

}  // namespace wisp::arch
