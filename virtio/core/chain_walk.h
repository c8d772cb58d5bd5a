// walk_chain: from a head to a list of checked segments, in one bounded pass (virtio 1.2 section 2.7.5).
//
// Each descriptor is copied once and only the copy is used. The walk ends after at most as many descriptors as the
// table it is in has entries, so a loop cannot hold it. A broken structure is a QueueFault; a buffer that cannot be
// used is a ChainDefect, and the walk goes on, because the last descriptor may hold the byte in which the driver
// expects the answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "virtio/core/chain_cursor.h"
#include "virtio/core/queue_fault.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// The most buffers of one chain. Devices advertise it (block: seg_max) so that drivers do not build longer ones.
inline constexpr std::size_t kMaxSegments = 128;
/// The most descriptors a walk visits in an indirect table; section 2.7.5.3.1 allows no chain longer than a queue.
inline constexpr std::size_t kMaxIndirectDescriptors = 256;

enum class IndirectTables { Refused, Allowed };

struct DescriptorTable {
  ReadableSlice slice;
  std::size_t entry_count = 0;
};

/// How the segments in the store divide: readable ones first. A chain with a defect has no readable segment, and one
/// writable byte, the last of its last descriptor, if that can be written.
struct ChainShape {
  std::uint16_t readable_count = 0;
  std::uint16_t writable_count = 0;
  std::uint32_t readable_bytes = 0;
  std::uint32_t writable_bytes = 0;
  ChainDefect defect = ChainDefect::None;
};

using WalkResult = std::variant<ChainShape, QueueFault>;

/// `head` is below table.entry_count; `store` holds kMaxSegments.
WalkResult walk_chain(const GuestMemory& memory, const DescriptorTable& table, std::uint16_t head,
                      IndirectTables indirect, std::span<Segment> store);

}  // namespace wisp
