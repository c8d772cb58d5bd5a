// A driver's view of one split virtqueue, written from the specification and apart from the device's code: it shares no
// constant with virtio/core, so that a wrong offset there cannot hide here.
//
//   FakeQueue queue(memory, {0x10000, 0x11000, 0x12000}, 16);
//   const auto head = ChainBuilder(queue, 0).readable(0x20000, 16).writable(0x20100, 1).build();
//   queue.offer(head);
//   ... let the device work ...
//   const auto used = queue.take_used();       // {id, length}
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "tests/fakes/guest.h"

namespace wisp::fakes {

struct QueuePlace {
  std::uint64_t descriptors = kLowStart;
  std::uint64_t available = kLowStart + 0x2000;
  std::uint64_t used = kLowStart + 0x3000;
};

inline constexpr std::uint16_t kNext = 1;
inline constexpr std::uint16_t kWrite = 2;
inline constexpr std::uint16_t kIndirect = 4;

struct Used {
  std::uint32_t id = 0;
  std::uint32_t length = 0;
  friend bool operator==(const Used&, const Used&) = default;
};

class FakeQueue {
 public:
  FakeQueue(const GuestMemory& memory, QueuePlace place, std::uint16_t size)
      : guest_(memory), place_(place), size_(size) {}

  std::uint16_t size() const { return size_; }
  const QueuePlace& place() const { return place_; }
  const GuestView& guest() const { return guest_; }

  void put_descriptor(std::uint16_t index, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                      std::uint16_t next) const {
    put_descriptor_at(place_.descriptors + index * std::uint64_t{16}, address, length, flags, next);
  }
  void put_descriptor_at(std::uint64_t where, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                         std::uint16_t next) const {
    guest_.put(where, address, 8);
    guest_.put(where + 8, length, 4);
    guest_.put(where + 12, flags, 2);
    guest_.put(where + 14, next, 2);
  }
  /// Makes `head` available: the entry first, then the index with release order.
  void offer(std::uint16_t head) {
    guest_.put(place_.available + 4 + (available_index_ % size_) * std::uint64_t{2}, head, 2);
    set_available_index(static_cast<std::uint16_t>(available_index_ + 1));
  }
  void set_available_index(std::uint16_t index) {
    available_index_ = index;
    const auto ring = guest_.memory().writable(GuestAddress(place_.available), 4);
    WISP_ASSERT(ring.has_value());
    ring->store_release_u16(2, index);
  }
  std::uint16_t available_index() const { return available_index_; }
  void set_available_flags(std::uint16_t flags) const { guest_.put(place_.available, flags, 2); }
  void set_used_event(std::uint16_t index) const {
    guest_.put(place_.available + 4 + std::uint64_t{2} * size_, index, 2);
  }

  std::uint16_t used_flags() const { return static_cast<std::uint16_t>(guest_.get(place_.used, 2)); }
  std::uint16_t used_index() const {
    const auto ring = guest_.memory().readable(GuestAddress(place_.used), 4);
    WISP_ASSERT(ring.has_value());
    return ring->load_acquire_u16(2);
  }
  std::uint16_t avail_event() const {
    return static_cast<std::uint16_t>(guest_.get(place_.used + 4 + std::uint64_t{8} * size_, 2));
  }
  /// The next used element that the driver has not seen yet.
  std::optional<Used> take_used() {
    if (used_index() == seen_used_) {
      return std::nullopt;
    }
    const std::uint64_t where = place_.used + 4 + (seen_used_ % size_) * std::uint64_t{8};
    ++seen_used_;
    return Used{static_cast<std::uint32_t>(guest_.get(where, 4)), static_cast<std::uint32_t>(guest_.get(where + 4, 4))};
  }
  std::vector<Used> take_all_used() {
    std::vector<Used> all;
    while (const auto used = take_used()) {
      all.push_back(*used);
    }
    return all;
  }
  /// Zeroed rings and counters, as a driver has them after a reset.
  void start_over() {
    guest_.fill(place_.descriptors, size_ * std::size_t{16}, 0);
    guest_.fill(place_.available, 6 + size_ * std::size_t{2}, 0);
    guest_.fill(place_.used, 6 + size_ * std::size_t{8}, 0);
    available_index_ = 0;
    seen_used_ = 0;
  }

 private:
  GuestView guest_;
  QueuePlace place_;
  std::uint16_t size_;
  std::uint16_t available_index_ = 0;
  std::uint16_t seen_used_ = 0;
};

/// Collects buffers, then writes them as a chain from descriptor `first` on, or into an indirect table.
class ChainBuilder {
 public:
  ChainBuilder(FakeQueue& queue, std::uint16_t first) : queue_(queue), first_(first) {}

  ChainBuilder& readable(std::uint64_t address, std::uint32_t length) { return add(address, length, 0); }
  ChainBuilder& writable(std::uint64_t address, std::uint32_t length) { return add(address, length, kWrite); }
  ChainBuilder& add(std::uint64_t address, std::uint32_t length, std::uint16_t flags) {
    buffers_.push_back({address, length, flags});
    return *this;
  }

  /// The head.
  std::uint16_t build() const {
    for (std::size_t index = 0; index < buffers_.size(); ++index) {
      const auto [flags, next] = link(index, first_);
      queue_.put_descriptor(static_cast<std::uint16_t>(first_ + index), buffers_[index].address, buffers_[index].length,
                            flags, next);
    }
    return first_;
  }
  /// All buffers in a table at `table`, one indirect descriptor in the ring.
  std::uint16_t build_indirect(std::uint64_t table) const {
    for (std::size_t index = 0; index < buffers_.size(); ++index) {
      const auto [flags, next] = link(index, 0);
      queue_.put_descriptor_at(table + index * 16, buffers_[index].address, buffers_[index].length, flags, next);
    }
    queue_.put_descriptor(first_, table, static_cast<std::uint32_t>(buffers_.size() * 16), kIndirect, 0);
    return first_;
  }

 private:
  struct Buffer {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags;
  };
  std::pair<std::uint16_t, std::uint16_t> link(std::size_t index, std::uint16_t base) const {
    const bool last = index + 1 == buffers_.size();
    return {static_cast<std::uint16_t>(buffers_[index].flags | (last ? 0 : kNext)),
            static_cast<std::uint16_t>(last ? 0 : base + index + 1)};
  }

  FakeQueue& queue_;
  std::uint16_t first_;
  std::vector<Buffer> buffers_;
};

}  // namespace wisp::fakes
