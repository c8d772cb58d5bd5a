#include "vmm/memory/dirty_log.h"

#include <bit>

#include "vmm/base/assert.h"

namespace wisp {
namespace {
constexpr std::uint64_t kBitsPerWord = 64;
}

DirtyLog::DirtyLog(std::uint64_t region_size_bytes)
    : page_count_((region_size_bytes + kPageSizeBytes - 1) / kPageSizeBytes),
      word_count_((page_count_ + kBitsPerWord - 1) / kBitsPerWord),
      words_(new std::atomic<std::uint64_t>[word_count_]()) {}

void DirtyLog::mark(std::uint64_t offset, std::uint64_t length_bytes) {
  if (length_bytes == 0) {
    return;
  }
  const std::uint64_t first = offset / kPageSizeBytes;
  const std::uint64_t last = (offset + length_bytes - 1) / kPageSizeBytes;
  WISP_ASSERT(last < page_count_);
  for (std::uint64_t page = first; page <= last; ++page) {
    const std::uint64_t bit = std::uint64_t{1} << (page % kBitsPerWord);
    auto& word = words_[page / kBitsPerWord];
    // Most marks hit a page that is dirty already; a plain load keeps its cache line shared.
    if ((word.load(std::memory_order_relaxed) & bit) == 0) {
      word.fetch_or(bit, std::memory_order_relaxed);
    }
  }
}

bool DirtyLog::is_dirty(std::uint64_t page_index) const {
  WISP_ASSERT(page_index < page_count_);
  return ((words_[page_index / kBitsPerWord].load(std::memory_order_relaxed) >> (page_index % kBitsPerWord)) & 1U) != 0;
}

std::uint64_t DirtyLog::word(std::size_t index) const {
  WISP_ASSERT(index < word_count_);
  return words_[index].load(std::memory_order_relaxed);
}

std::uint64_t DirtyLog::dirty_page_count() const {
  std::uint64_t count = 0;
  for (std::size_t index = 0; index < word_count_; ++index) {
    count += static_cast<std::uint64_t>(std::popcount(words_[index].load(std::memory_order_relaxed)));
  }
  return count;
}

void DirtyLog::clear() {
  for (std::size_t index = 0; index < word_count_; ++index) {
    words_[index].store(0, std::memory_order_relaxed);
  }
}

}  // namespace wisp
