#include "vmm/memory/block_map.h"

#include <algorithm>
#include <bit>

#include "vmm/base/assert.h"
#include "vmm/base/checked.h"

namespace wisp {
namespace {

constexpr std::size_t kBitsPerWord = 64;

/// `count` one bits from bit `first` on; first + count <= 64 and count > 0.
constexpr std::uint64_t mask_of(std::size_t first, std::size_t count) {
  return (~std::uint64_t{0} >> (kBitsPerWord - count)) << first;
}

}  // namespace

BlockMap::BlockMap(std::size_t block_count)
    : block_count_(block_count),
      words_(new std::atomic<std::uint64_t>[(block_count + kBitsPerWord - 1) / kBitsPerWord]()) {}

/// Calls visit(word, mask) for each word that the blocks lie in.
template <typename Visit>
void BlockMap::visit_words(std::size_t first, std::size_t count, Visit&& visit) const {
  WISP_ASSERT(count > 0 && range_fits(first, count, block_count_));
  const std::size_t end = first + count;
  while (first < end) {
    const std::size_t bit = first % kBitsPerWord;
    const std::size_t here = std::min(end - first, kBitsPerWord - bit);
    visit(words_[first / kBitsPerWord], mask_of(bit, here));
    first += here;
  }
}

bool BlockMap::all_set(std::size_t first, std::size_t count) const {
  return count_set(first, count) == count;
}

std::size_t BlockMap::count_set(std::size_t first, std::size_t count) const {
  std::size_t total = 0;
  visit_words(first, count, [&](const std::atomic<std::uint64_t>& word, std::uint64_t mask) {
    total += static_cast<std::size_t>(std::popcount(word.load(std::memory_order_acquire) & mask));
  });
  return total;
}

void BlockMap::set(std::size_t first, std::size_t count) {
  visit_words(first, count, [](std::atomic<std::uint64_t>& word, std::uint64_t mask) {
    word.fetch_or(mask, std::memory_order_release);
  });
}

void BlockMap::clear(std::size_t first, std::size_t count) {
  visit_words(first, count, [](std::atomic<std::uint64_t>& word, std::uint64_t mask) {
    word.fetch_and(~mask, std::memory_order_release);
  });
}

}  // namespace wisp
