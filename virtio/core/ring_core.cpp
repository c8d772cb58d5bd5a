#include "virtio/core/ring_core.h"

#include <atomic>
#include <bit>

#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"

namespace wisp {
namespace {

void full_fence() {
#if defined(__SANITIZE_THREAD__)
  // The thread sanitizer does not know fences; a read-modify-write orders as strongly on the hosts it runs on.
  static std::atomic<int> word = 0;
  word.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// Section 2.7.10: did the index pass `event` on its way from `before` to `after`?
bool passed(std::uint16_t event, std::uint16_t after, std::uint16_t before) {
  return static_cast<std::uint16_t>(after - event - 1) < static_cast<std::uint16_t>(after - before);
}

}  // namespace

RingCore::RingCore(const GuestMemory& memory, const RingParts& parts, std::uint64_t negotiated_features)
    : memory_(&memory),
      parts_(parts),
      event_index_((negotiated_features & feature::kEventIndex) != 0),
      indirect_((negotiated_features & feature::kIndirectDescriptors) != 0 ? IndirectTables::Allowed
                                                                           : IndirectTables::Refused),
      // Not initialised: pages that no chain needs stay unallocated.
      store_(std::make_unique_for_overwrite<Segment[]>(std::size_t{parts.size} * kMaxSegments)) {
  WISP_ASSERT(std::has_single_bit(parts.size) && parts.size <= kLargestQueue);
}

RingCore::~RingCore() {
  WISP_ASSERT(in_flight_count_ == 0);
}

QueueFault RingCore::latch(QueueFault fault) {
  fault_ = fault;
  return fault;
}

std::uint16_t RingCore::load_available_index() const {
  return parts_.available.load_acquire_u16(ring::kIndexOffset);
}

std::optional<QueueFault> RingCore::look_for_more() {
  const std::uint16_t index = load_available_index();
  const auto waiting = static_cast<std::uint16_t>(index - next_available_);
  // A head is either waiting, in flight or the driver's, so both counts together cannot exceed the queue size. An index
  // that went back looks like a jump of nearly 2^16.
  if (std::size_t{waiting} + in_flight_count_ > parts_.size) {
    return QueueFault::AvailIndexJump;
  }
  seen_available_ = index;
  return std::nullopt;
}

PopResult RingCore::pop() {
  if (fault_) {
    return *fault_;
  }
  if (next_available_ == seen_available_) {
    if (const auto fault = look_for_more()) {
      return latch(*fault);
    }
    if (next_available_ == seen_available_) {
      return QueueEmpty{};
    }
  }
  const std::size_t slot = next_available_ % parts_.size;
  const std::uint16_t head = parts_.available.load_acquire_u16(ring::kEntriesOffset + slot * 2);
  if (head >= parts_.size) {
    return latch(QueueFault::HeadOutOfRange);
  }
  if (in_flight_.test(head)) {
    return latch(QueueFault::HeadInFlight);
  }
  const auto walked = walk_chain(*memory_, {parts_.descriptors, parts_.size}, head, indirect_, segments(head));
  if (const auto* fault = std::get_if<QueueFault>(&walked)) {
    return latch(*fault);
  }
  ++next_available_;
  in_flight_.set(head);
  ++in_flight_count_;
  popped_[slot] = head;
  return DescriptorChain(*this, head, *std::get_if<ChainShape>(&walked));
}

void RingCore::end(std::uint16_t head) {
  WISP_ASSERT(in_flight_.test(head));
  in_flight_.reset(head);
  --in_flight_count_;
}

void RingCore::complete_chain(std::uint16_t head, std::uint32_t written_bytes) {
  end(head);
  const std::size_t offset = ring::kEntriesOffset + (next_used_ % parts_.size) * sizeof(VirtqUsedElement);
  const auto element = parts_.used.sub(offset, sizeof(VirtqUsedElement));
  WISP_ASSERT(element.has_value());
  const VirtqUsedElement value{std::uint32_t{head}, written_bytes};
  element->copy_from(std::as_bytes(std::span(&value, 1)));
  ++next_used_;
}

void RingCore::put_back_chain(std::uint16_t head) {
  WISP_ASSERT(popped_[static_cast<std::uint16_t>(next_available_ - 1) % parts_.size] == head);
  end(head);
  --next_available_;
}

void RingCore::abandon_chain(std::uint16_t head) {
  end(head);
}

void RingCore::drop_chain(std::uint16_t head) {
  ++dropped_chain_count_;
  complete_chain(head, 0);
}

Interrupt RingCore::publish() {
  if (published_used_ == next_used_) {
    return Interrupt::NotNeeded;
  }
  const std::uint16_t before = published_used_;
  parts_.used.store_release_u16(ring::kIndexOffset, next_used_);
  published_used_ = next_used_;
  full_fence();
  if (event_index_) {
    const std::uint16_t event = parts_.available.load_acquire_u16(ring::used_event_offset(parts_.size));
    return passed(event, next_used_, before) ? Interrupt::Needed : Interrupt::NotNeeded;
  }
  const std::uint16_t flags = parts_.available.load_acquire_u16(ring::kFlagsOffset);
  return (flags & ring::kAvailableNoInterrupt) == 0 ? Interrupt::Needed : Interrupt::NotNeeded;
}

void RingCore::continue_at(std::uint16_t next_available, std::uint16_t next_used) {
  WISP_ASSERT(in_flight_count_ == 0 && next_available_ == 0 && next_used_ == 0);
  next_available_ = next_available;
  seen_available_ = next_available;
  next_used_ = next_used;
  published_used_ = next_used;
}

void RingCore::disable_notifications() {
  // With EVENT_IDX it is enough not to move avail_event: the driver kicks only when it passes it.
  if (!event_index_) {
    parts_.used.store_release_u16(ring::kFlagsOffset, ring::kUsedNoNotify);
  }
}

Backlog RingCore::enable_notifications() {
  if (event_index_) {
    parts_.used.store_release_u16(ring::avail_event_offset(parts_.size), next_available_);
  } else {
    parts_.used.store_release_u16(ring::kFlagsOffset, 0);
  }
  full_fence();
  return load_available_index() == next_available_ ? Backlog::None : Backlog::Some;
}

}  // namespace wisp
