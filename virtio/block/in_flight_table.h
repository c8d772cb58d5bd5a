// InFlightTable: the requests that the backend works on, by slot number. Fixed size, no allocation, each slot taken
// once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "vmm/base/assert.h"

namespace wisp {

template <typename Entry, std::size_t kCapacity>
class InFlightTable {
 public:
  InFlightTable() {
    for (std::size_t index = 0; index < kCapacity; ++index) {
      free_[index] = static_cast<std::uint16_t>(kCapacity - 1 - index);
    }
  }

  std::size_t count() const { return kCapacity - free_count_; }
  bool full() const { return free_count_ == 0; }

  /// Moves `entry` into a free slot; there must be one.
  std::uint16_t put(Entry entry) {
    WISP_ASSERT(free_count_ > 0);
    const std::uint16_t slot = free_[--free_count_];
    entries_[slot].emplace(std::move(entry));
    return slot;
  }
  Entry& at(std::uint16_t slot) {
    WISP_ASSERT(slot < kCapacity && entries_[slot].has_value());
    return *entries_[slot];
  }
  /// Empties the slot.
  Entry take(std::uint16_t slot) {
    Entry entry = std::move(at(slot));
    entries_[slot].reset();
    free_[free_count_++] = slot;
    return entry;
  }
  /// Empties every slot; `end` gets each entry.
  template <typename End>
  void clear(End end) {
    for (std::size_t slot = 0; slot < kCapacity; ++slot) {
      if (entries_[slot]) {
        end(take(static_cast<std::uint16_t>(slot)));
      }
    }
  }

 private:
  std::array<std::optional<Entry>, kCapacity> entries_;
  std::array<std::uint16_t, kCapacity> free_;
  std::size_t free_count_ = kCapacity;
};

}  // namespace wisp
