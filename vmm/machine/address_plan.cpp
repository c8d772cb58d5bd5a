#include "vmm/machine/address_plan.h"

#include <algorithm>
#include <string>

#include "vmm/arch/x86_64/layout.h"

namespace wisp {
namespace {

/// Takes the next free range; nothing when it does not fit.
std::optional<GuestAddress> take(std::uint64_t& cursor, std::uint64_t size_bytes, std::uint64_t alignment_bytes) {
  const std::uint64_t start = (cursor + alignment_bytes - 1) / alignment_bytes * alignment_bytes;
  if (start > arch::kDeviceMemoryEnd || size_bytes > arch::kDeviceMemoryEnd - start) {
    return std::nullopt;
  }
  cursor = start + size_bytes;
  return GuestAddress(start);
}

Error does_not_fit(const char* what, std::uint64_t size_bytes) {
  return {ErrorCode::LimitExceeded, std::string("Could not attach device: ") + what + " of " +
                                        std::to_string(size_bytes / arch::kMib) +
                                        " MiB does not fit into the guest's address space. Make it smaller"};
}

}  // namespace

Result<AddressPlan> plan_addresses(std::span<const GuestRange> ram, std::uint64_t hotplug_size_bytes,
                                   std::span<const std::uint64_t> pmem_sizes_bytes) {
  std::uint64_t cursor = arch::kFarRamStart;
  for (const GuestRange& range : ram) {
    cursor = std::max(cursor, arch::end_of(range));
  }
  AddressPlan plan;
  if (hotplug_size_bytes > 0) {
    plan.hotplug = take(cursor, hotplug_size_bytes, kHotplugAlignmentBytes);
    if (!plan.hotplug) {
      return does_not_fit("hot-pluggable memory", hotplug_size_bytes);
    }
  }
  for (const std::uint64_t size_bytes : pmem_sizes_bytes) {
    const auto start = take(cursor, size_bytes, kPmemAlignmentBytes);
    if (!start) {
      return does_not_fit("persistent memory", size_bytes);
    }
    plan.pmem.push_back(*start);
  }
  return plan;
}

}  // namespace wisp
