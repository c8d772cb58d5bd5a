// RingCore: the arithmetic of one live split ring. VirtQueue owns it; its chains point at it, so it does not move.
//
// Memory order, each with its partner in the driver:
//   available idx   load-acquire here           store-release in the driver: heads and descriptors are visible
//   used idx        store-release here          load-acquire in the driver: used elements and data are visible
//   full fence      used idx -> used_event      driver: used_event -> used idx        (an interrupt is not lost)
//   full fence      avail_event -> avail idx    driver: avail idx -> avail_event      (a kick is not lost)
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include "virtio/core/descriptor_chain.h"
#include "virtio/core/queue_fault.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// The ring's three parts, checked: alignment, size and place.
/// Where the driver has put the parts, for who walks the ring instead of us (virtio/vhost).
struct RingAddresses {
  GuestAddress descriptors;
  GuestAddress available;
  GuestAddress used;
};

struct RingParts {
  std::uint16_t size = 0;
  ReadableSlice descriptors;
  ReadableSlice available;
  WritableSlice used;
  RingAddresses addresses = {};
};

struct QueueEmpty {};
using PopResult = std::variant<QueueEmpty, QueueFault, DescriptorChain>;

enum class Interrupt { NotNeeded, Needed };
enum class Backlog { None, Some };

class RingCore {
 public:
  RingCore(const GuestMemory& memory, const RingParts& parts, std::uint64_t negotiated_features);
  RingCore(const RingCore&) = delete;
  RingCore& operator=(const RingCore&) = delete;
  ~RingCore();

  PopResult pop();
  Interrupt publish();
  void disable_notifications();
  Backlog enable_notifications();
  void continue_at(std::uint16_t next_available, std::uint16_t next_used);

  // The ends of a chain.
  void complete_chain(std::uint16_t head, std::uint32_t written_bytes);
  void put_back_chain(std::uint16_t head);
  void abandon_chain(std::uint16_t head);
  void drop_chain(std::uint16_t head);

  const GuestMemory& memory() const { return *memory_; }
  std::span<Segment> segments(std::uint16_t head) const {
    return {store_.get() + std::size_t{head} * kMaxSegments, kMaxSegments};
  }
  std::uint16_t size() const { return parts_.size; }
  const RingAddresses& addresses() const { return parts_.addresses; }
  std::uint16_t next_available() const { return next_available_; }
  std::uint16_t next_used() const { return next_used_; }
  std::uint16_t backlog_count() const { return static_cast<std::uint16_t>(seen_available_ - next_available_); }
  std::uint16_t in_flight_count() const { return in_flight_count_; }
  std::uint64_t dropped_chain_count() const { return dropped_chain_count_; }
  std::optional<QueueFault> fault() const { return fault_; }

 private:
  static constexpr std::size_t kLargestQueue = 256;

  QueueFault latch(QueueFault fault);
  std::optional<QueueFault> look_for_more();
  std::uint16_t load_available_index() const;
  void end(std::uint16_t head);

  const GuestMemory* memory_;
  RingParts parts_;
  bool event_index_;
  IndirectTables indirect_;
  std::unique_ptr<Segment[]> store_;  // kMaxSegments for each head
  std::bitset<kLargestQueue> in_flight_;
  std::uint16_t in_flight_count_ = 0;
  std::uint16_t next_available_ = 0;
  std::uint16_t seen_available_ = 0;  // the driver's index as loaded last
  std::uint16_t next_used_ = 0;
  std::uint16_t published_used_ = 0;
  std::array<std::uint16_t, kLargestQueue> popped_{};  // the head popped at each position of the ring
  std::optional<QueueFault> fault_;
  std::uint64_t dropped_chain_count_ = 0;
};

}  // namespace wisp
