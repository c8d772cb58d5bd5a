// Memory files as they come back: checked, mapped, merged. Their contents are the guest's and are not looked at; their
// size must be what the state file says, because a page beyond the end of a mapped file is a fatal signal.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "snapshot/image/file_calls.h"
#include "vmm/base/fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// The most regions that a snapshot may name.
inline constexpr std::size_t kMaxMemoryRegions = 64;

/// The layout comes from a file: regions that are page-aligned, ascending and disjoint, the hot-pluggable one last.
Status check_layout(std::span<const RegionPlan> regions);

/// A regular file of exactly this size, and readable.
Status check_memory_file(FdRef fd, const std::string& name, std::uint64_t size_bytes);

/// Guest memory whose first contents are the file's, region after region. Nothing is read before it is needed, so the
/// time does not depend on the size. The mapping is private: the file is never written, and must not change or become
/// shorter while the memory lives. `regions` need not be checked before; their `file` is not looked at.
Result<GuestMemory> map_memory_file(std::span<const RegionPlan> regions, FdRef fd, const std::string& name,
                                    PageBacking backing);

/// Copies what is data in the file of a diff snapshot over the same places of its base, in place, and waits until it is
/// on the medium. Both have the same size, or nothing happens. A merge that was cut short is repaired by doing it
/// again. No machine may run on the base meanwhile.
Status merge_diff(const std::string& base_path, const std::string& diff_path, FileCalls& calls = FileCalls::host());

}  // namespace wisp
