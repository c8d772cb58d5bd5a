// BlockMap: which blocks of a hot-pluggable region are plugged, one bit each.
//
//   map.set(8, 4);              // loop thread: blocks 8 to 11 are plugged
//   map.all_set(10, 1);         // any thread: true
//
// The loop's thread alone changes it; vCPU threads ask while they check the addresses of a queue, so each word is
// atomic. A range of blocks is not changed in one step: whoever asks meanwhile may see a part of it, which is what the
// guest's memory controller shows, too.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace wisp {

class BlockMap {
 public:
  /// All blocks are unplugged.
  explicit BlockMap(std::size_t block_count);

  // [first, first + count) lies inside the map (asserted) and is not empty.
  bool all_set(std::size_t first, std::size_t count) const;
  std::size_t count_set(std::size_t first, std::size_t count) const;
  void set(std::size_t first, std::size_t count);
  void clear(std::size_t first, std::size_t count);

  std::size_t block_count() const { return block_count_; }

 private:
  template <typename Visit>
  void visit_words(std::size_t first, std::size_t count, Visit&& visit) const;

  std::size_t block_count_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
};

}  // namespace wisp
