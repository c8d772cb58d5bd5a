#include "snapshot/image/dirty_bitmap.h"

#include <algorithm>
#include <bit>

#include "vmm/base/assert.h"
#include "vmm/base/checked.h"

namespace wisp {
namespace {
constexpr std::uint64_t kBitsPerWord = 64;
constexpr std::uint64_t kAllOnes = ~std::uint64_t{0};
}  // namespace

DirtyBitmap::DirtyBitmap(const GuestMemory& memory) {
  for (std::size_t index = 0; index < memory.region_count(); ++index) {
    const std::uint64_t pages = memory.region_range(index).size_bytes / kPageSizeBytes;
    regions_.push_back({pages, std::vector<std::uint64_t>((pages + kBitsPerWord - 1) / kBitsPerWord)});
  }
}

void DirtyBitmap::merge(const DirtyBitmap& other) {
  WISP_ASSERT(other.regions_.size() == regions_.size());
  for (std::size_t index = 0; index < regions_.size(); ++index) {
    WISP_ASSERT(other.regions_[index].page_count == regions_[index].page_count);
    merge_words(index, 0, other.regions_[index].words);
  }
}

void DirtyBitmap::merge(const GuestMemory& memory) {
  WISP_ASSERT(memory.region_count() == regions_.size());
  for (std::size_t index = 0; index < regions_.size(); ++index) {
    const DirtyLog& log = memory.dirty_log(index);
    auto& words = regions_[index].words;
    WISP_ASSERT(log.page_count() == regions_[index].page_count);
    for (std::size_t word = 0; word < words.size(); ++word) {
      words[word] |= log.word(word);
    }
  }
}

void DirtyBitmap::merge_words(std::size_t region, std::uint64_t first_page, std::span<const std::uint64_t> words) {
  WISP_ASSERT(region < regions_.size() && first_page % kBitsPerWord == 0);
  auto& own = regions_[region].words;
  WISP_ASSERT(range_fits(first_page / kBitsPerWord, words.size(), own.size()));
  for (std::size_t index = 0; index < words.size(); ++index) {
    own[first_page / kBitsPerWord + index] |= words[index];
  }
  trim(regions_[region]);
}

void DirtyBitmap::mark(std::size_t region, PageRun run) {
  WISP_ASSERT(region < regions_.size() && range_fits(run.first, run.count, regions_[region].page_count));
  auto& words = regions_[region].words;
  const std::uint64_t end = run.first + run.count;
  for (std::uint64_t page = run.first; page < end;) {
    const std::uint64_t bit = page % kBitsPerWord;
    const std::uint64_t count = std::min(kBitsPerWord - bit, end - page);
    words[page / kBitsPerWord] |= (kAllOnes >> (kBitsPerWord - count)) << bit;
    page += count;
  }
}

void DirtyBitmap::mark_all(std::size_t region) {
  mark(region, {0, page_count(region)});
}

void DirtyBitmap::clear() {
  for (Region& region : regions_) {
    std::ranges::fill(region.words, 0);
  }
}

bool DirtyBitmap::is_dirty(std::size_t region, std::uint64_t page) const {
  WISP_ASSERT(page < page_count(region));
  return ((regions_[region].words[page / kBitsPerWord] >> (page % kBitsPerWord)) & 1U) != 0;
}

std::uint64_t DirtyBitmap::page_count(std::size_t region) const {
  WISP_ASSERT(region < regions_.size());
  return regions_[region].page_count;
}

std::uint64_t DirtyBitmap::dirty_page_count() const {
  std::uint64_t count = 0;
  for (const Region& region : regions_) {
    for (const std::uint64_t word : region.words) {
      count += static_cast<std::uint64_t>(std::popcount(word));
    }
  }
  return count;
}

std::optional<PageRun> DirtyBitmap::next_run(std::size_t region, std::uint64_t from_page) const {
  WISP_ASSERT(region < regions_.size());
  const Region& own = regions_[region];
  const std::uint64_t first = seek(own, from_page, 0);
  if (first == own.page_count) {
    return std::nullopt;
  }
  return PageRun{first, seek(own, first, kAllOnes) - first};
}

std::uint64_t DirtyBitmap::seek(const Region& region, std::uint64_t page, std::uint64_t flip) {
  while (page < region.page_count) {
    const std::uint64_t bits = (region.words[page / kBitsPerWord] ^ flip) >> (page % kBitsPerWord);
    if (bits != 0) {
      return std::min(page + static_cast<std::uint64_t>(std::countr_zero(bits)), region.page_count);
    }
    page = align_down(page, kBitsPerWord) + kBitsPerWord;
  }
  return region.page_count;
}

void DirtyBitmap::trim(Region& region) {
  const std::uint64_t rest = region.page_count % kBitsPerWord;
  if (rest != 0) {
    region.words.back() &= kAllOnes >> (kBitsPerWord - rest);
  }
}

}  // namespace wisp
