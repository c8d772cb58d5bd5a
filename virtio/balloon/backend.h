// PageReleaser: gives pages that the guest does not need back to the host, in ranges as large as can be made.
//
//   releaser.add(memory, page_frame_number);       // many of them, in any order, twice if the guest likes
//   releaser.release(memory, totals);              // sorted, merged, discarded; empty again
//
// It stands for the balloon's backend: the host's memory management. Only what GuestMemory calls memory is touched; a
// page frame number outside it (a hole, persistent memory, an unplugged block) is counted and ignored. Page frames are
// 4 KiB whatever the host's pages are (virtio 1.2 section 5.5.6), and their addresses are made in 64 bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "virtio/core/chain_cursor.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// Page frames that are collected before they are released.
inline constexpr std::size_t kMaxCollectedPages = 2048;

struct ReleaseTotals {
  std::uint64_t freed_bytes = 0;
  std::uint64_t outside_count = 0;  ///< page frames or ranges that are not memory
  std::uint64_t refused_count = 0;  ///< ranges that the host did not take
};

/// Discards the range and adds what came of it to `totals`.
void release_range(const GuestMemory& memory, GuestRange range, ReleaseTotals& totals);

class PageReleaser {
 public:
  bool full() const { return count_ == frames_.size(); }
  /// Not when full.
  void add(std::uint32_t frame);
  void release(const GuestMemory& memory, ReleaseTotals& totals);

 private:
  std::array<std::uint32_t, kMaxCollectedPages> frames_{};
  std::size_t count_ = 0;
};

/// The places of a chain's writable buffers, piece by piece: for a device that wants to give them back, not to write.
class RangeCursor : private ChainWriter {
 public:
  RangeCursor() = default;
  explicit RangeCursor(const ChainWriter& writer) : ChainWriter(writer) {}

  bool at_end() const { return empty(); }
  /// The next contiguous bytes, at most `limit`; not at the end.
  GuestRange next(std::uint32_t limit) {
    const Piece piece = take_piece(limit);
    return {piece.address, piece.length};
  }
};

}  // namespace wisp
