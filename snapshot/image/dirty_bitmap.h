// DirtyBitmap: a set of guest pages, one bit each, region by region.
//
//   DirtyBitmap dirty(memory);
//   dirty.merge(memory);                             // what the monitor wrote (DirtyLog)
//   dirty.merge_words(0, 0, kvm_log_of_first_slot);  // what the guest wrote (KVM_GET_DIRTY_LOG)
//   Status written = image.write_diff(dirty, file);
//   // A failure loses nothing: keep `dirty` and merge it into the next set. The logs may have been cleared.
//
// Page 0 of a region is the region's first; a slot that covers a part of a region says where it starts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace wisp {

struct PageRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

class DirtyBitmap {
 public:
  /// Clean, with the regions of this memory.
  explicit DirtyBitmap(const GuestMemory& memory);

  /// Both have the same regions (asserted), also below: an index or a range that is not there is our own mistake.
  void merge(const DirtyBitmap& other);
  /// Adds the pages that the monitor has written, of all regions.
  void merge(const GuestMemory& memory);
  /// Adds KVM's log of a memory slot that starts at `first_page` of the region, a multiple of 64. Bits beyond the end
  /// of the region (a log is a whole number of words) are not looked at.
  void merge_words(std::size_t region, std::uint64_t first_page, std::span<const std::uint64_t> words);
  void mark(std::size_t region, PageRun run);
  void mark_all(std::size_t region);
  void clear();

  bool is_dirty(std::size_t region, std::uint64_t page) const;
  std::size_t region_count() const { return regions_.size(); }
  std::uint64_t page_count(std::size_t region) const;
  std::uint64_t dirty_page_count() const;
  /// The first run of dirty pages at or behind `from_page`.
  std::optional<PageRun> next_run(std::size_t region, std::uint64_t from_page) const;

 private:
  struct Region {
    std::uint64_t page_count;
    std::vector<std::uint64_t> words;  // bits beyond page_count are 0
  };
  /// The first page at or behind `page` whose bit, taken with `flip`, is 1; page_count if there is none.
  static std::uint64_t seek(const Region& region, std::uint64_t page, std::uint64_t flip);
  static void trim(Region& region);

  std::vector<Region> regions_;
};

}  // namespace wisp
