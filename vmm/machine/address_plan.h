// AddressPlan: where the memory of devices lies in the guest's physical address space.
//
// Behind the far RAM, from 512 GiB up: first the hot-pluggable region, then the persistent memory devices in the order
// of attachment. Nothing of it is in the firmware's memory map; the devices tell their drivers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "virtio/pmem/pmem_file.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// virtio-mem regions start at a multiple of this (Linux's memory block size), persistent memory at a multiple of
/// kPmemAlignmentBytes.
inline constexpr std::uint64_t kHotplugAlignmentBytes = std::uint64_t{128} << 20U;

struct AddressPlan {
  std::optional<GuestAddress> hotplug;
  std::vector<GuestAddress> pmem;
};

/// Fails when it does not all fit below arch::kDeviceMemoryEnd. `hotplug_size_bytes` is 0 without such a region.
Result<AddressPlan> plan_addresses(std::span<const GuestRange> ram, std::uint64_t hotplug_size_bytes,
                                   std::span<const std::uint64_t> pmem_sizes_bytes);

}  // namespace wisp
