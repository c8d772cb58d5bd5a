// GuestMemory: the guest's physical memory, as one or more mapped regions with holes between them.
//
//   auto memory = WISP_TRY(GuestMemory::create(regions, options));
//   auto slice = memory.readable(GuestAddress(0x1000), 512);   // empty: outside a region or across a hole
//   auto head = memory.read<Descriptor>(address);              // one copy, then only the copy is used
//   memory.discard({address, 2 << 20});                        // the host has the pages back; they read as zeros
//
// An (address, length) pair is checked once, here, with arithmetic that cannot wrap; nothing else turns a guest address
// into a host pointer. The regions do not change after creation, so they need no lock.
//
// One region may be hot-pluggable (virtio-mem): its blocks are unplugged at first, and a byte in an unplugged block is
// outside memory for everybody who asks. What was asked before the block went - a live ring, a slice that the kernel
// still fills - goes on pointing there, and that is safe: the host mapping of the whole region stays readable and
// writable until GuestMemory ends, so a stale slice never faults; what it writes hits pages that nobody reads and that
// are zeroed again when the block is plugged; and what it can make the host pay for is at most the stale slices' own
// size (a ring is a few pages). No device needs to know that memory can go.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/memory/block_map.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/guest_address.h"
#include "vmm/memory/guest_pod.h"
#include "vmm/memory/host_mapping.h"
#include "vmm/memory/volatile_slice.h"

namespace wisp {

struct GuestRange {
  GuestAddress start;
  std::uint64_t size_bytes = 0;
};

/// The region whose blocks come and go. Its size is a multiple of the block size.
struct HotplugRange {
  GuestRange range;
  std::uint64_t block_size_bytes = 0;  ///< a power of two, at least 2 MiB
};

enum class RegionKind {
  Ram,      ///< there from the start; the only kind that the firmware's memory map lists
  Hotplug,  ///< block by block; always the last region
};

enum class BlockContents {
  Zeroed,
  Kept,  ///< a snapshot's: the region's file holds what the guest left there
};

/// One region as create_from() is told of it.
struct RegionPlan {
  GuestRange range;
  std::optional<RegionFile> file = std::nullopt;  ///< absent: zeroed anonymous memory
  std::uint64_t block_size_bytes = 0;             ///< not 0: the hot-pluggable region
};

class GuestMemory {
 public:
  /// Maps zeroed private memory for each range, and behind them the hot-pluggable one. Ranges are non-empty,
  /// page-aligned, ascending and disjoint (asserted: the machine's layout makes them). Fails when the host refuses the
  /// mapping.
  static Result<GuestMemory> create(std::span<const GuestRange> ranges, PageBacking backing,
                                    std::optional<HotplugRange> hotplug = std::nullopt);
  /// The same with a choice of contents for each region (a snapshot's memory file, memory shared by memfd).
  static Result<GuestMemory> create_from(std::span<const RegionPlan> plans, PageBacking backing);

  GuestMemory(GuestMemory&&) noexcept = default;
  GuestMemory& operator=(GuestMemory&&) noexcept = default;

  /// A window of exactly `length` bytes, or nothing when any of them lies outside a region. A zero length gives
  /// nothing.
  [[nodiscard]] std::optional<ReadableSlice> readable(GuestAddress address, std::uint64_t length) const;
  [[nodiscard]] std::optional<WritableSlice> writable(GuestAddress address, std::uint64_t length) const;

  template <GuestPod T>
  [[nodiscard]] std::optional<T> read(GuestAddress address) const {
    const auto slice = readable(address, sizeof(T));
    if (!slice) {
      return std::nullopt;
    }
    std::array<std::byte, sizeof(T)> bytes;
    slice->copy_to(bytes);
    return std::bit_cast<T>(bytes);
  }
  template <GuestPod T>
  [[nodiscard]] bool write(GuestAddress address, const T& value) const {
    return write_bytes(address, std::as_bytes(std::span(&value, 1)));
  }
  /// Copies all bytes to `address`; false, with nothing written, when they do not fit in one region.
  [[nodiscard]] bool write_bytes(GuestAddress address, std::span<const std::byte> bytes) const;

  /// Gives the host the whole pages of the range back and marks it dirty, because its contents have changed. All of the
  /// range must be memory; it may span regions that touch.
  Discarded discard(GuestRange range) const;

  std::size_t region_count() const { return regions_.size(); }
  GuestRange region_range(std::size_t index) const;
  RegionKind region_kind(std::size_t index) const;
  /// Where the region's first contents come from; empty for anonymous memory.
  std::optional<RegionFile> region_file(std::size_t index) const;
  const DirtyLog& dirty_log(std::size_t index) const;
  void clear_dirty_logs();
  /// All regions together, the hot-pluggable one with its whole size.
  std::uint64_t total_size_bytes() const;

  // The hot-pluggable region. Ranges consist of whole blocks of it (asserted: the device checks what a guest says).
  std::optional<HotplugRange> hotplug() const;
  /// Every block of the range is plugged.
  bool is_plugged(GuestRange blocks) const;
  /// No block of the range is plugged.
  bool is_unplugged(GuestRange blocks) const;
  std::uint64_t plugged_bytes(GuestRange blocks) const;
  /// Loop thread. The blocks, all unplugged (asserted), are memory from now on; false, with no block plugged, when the
  /// host refuses to zero them.
  [[nodiscard]] bool plug_blocks(GuestRange blocks, BlockContents contents) const;
  /// Loop thread. The blocks are outside memory from now on; their pages go back to the host.
  Discarded unplug_blocks(GuestRange blocks) const;

  /// Where a range of one region lies in the host, plugged or not, for a KVM memory slot. Empty outside a region.
  std::optional<iovec> lend_range(GuestRange range, KernelIoKey) const;

 private:
  struct Region {
    GuestRange range;
    HostMapping mapping;
    DirtyLog* dirty;                   // owned by dirty_logs_, whose elements do not move
    std::unique_ptr<BlockMap> blocks;  // only the hot-pluggable region has one
    std::uint64_t block_size_bytes;
  };
  struct BlockSpan {
    std::size_t first;
    std::size_t count;
  };
  GuestMemory() = default;
  Status add_region(const RegionPlan& plan, PageBacking backing);
  const Region* region_at(GuestAddress address) const;
  const Region* find(GuestAddress address, std::uint64_t length) const;
  const Region& hotplug_region() const;
  static BlockSpan blocks_of(const Region& region, GuestRange range);
  template <typename Visit>
  bool visit_pieces(GuestRange range, Visit&& visit) const;

  std::vector<std::unique_ptr<DirtyLog>> dirty_logs_;  // outlives regions_
  std::vector<Region> regions_;
};

}  // namespace wisp
