// DirtyLog: which guest pages the monitor itself has written.
//
// KVM logs the guest's writes, not ours; a diff snapshot merges both. Every write path of a slice marks this log, so it
// cannot be forgotten. Marking is lock-free and allocation-free; the log is sized once, when memory is created.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace wisp {

inline constexpr std::uint64_t kPageSizeBytes = 4096;

class DirtyLog {
 public:
  explicit DirtyLog(std::uint64_t region_size_bytes);

  /// Marks the pages that [offset, offset + length) touches. Offsets are relative to the region.
  void mark(std::uint64_t offset, std::uint64_t length_bytes);
  bool is_dirty(std::uint64_t page_index) const;
  std::uint64_t page_count() const { return page_count_; }
  std::uint64_t dirty_page_count() const;
  /// The bits of pages 64 * index and following.
  std::uint64_t word(std::size_t index) const;
  void clear();

 private:
  std::uint64_t page_count_;
  std::size_t word_count_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
};

}  // namespace wisp
