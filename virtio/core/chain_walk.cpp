#include "virtio/core/chain_walk.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>

#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"
#include "vmm/base/checked.h"

namespace wisp {
namespace {

/// A descriptor in host memory and host byte order.
struct Descriptor {
  std::uint64_t address;
  std::uint32_t length;
  std::uint16_t flags;
  std::uint16_t next;
  bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
};

Descriptor copy_descriptor(const DescriptorTable& table, std::uint16_t index) {
  const auto entry = table.slice.sub(index * sizeof(VirtqDescriptor), sizeof(VirtqDescriptor));
  WISP_ASSERT(entry.has_value());
  std::array<std::byte, sizeof(VirtqDescriptor)> bytes;
  entry->copy_to(bytes);
  const auto wire = std::bit_cast<VirtqDescriptor>(bytes);
  return {wire.address, wire.length, wire.flags, wire.next};
}

/// Collects segments and remembers the first defect.
class SegmentCollector {
 public:
  SegmentCollector(const GuestMemory& memory, std::span<Segment> store) : memory_(memory), store_(store) {
    WISP_ASSERT(store.size() == kMaxSegments);
  }

  void add(const Descriptor& descriptor) {
    const bool writable = descriptor.has(ring::kDescriptorWrite);
    last_is_answer_ = false;
    if (writable) {
      seen_writable_ = true;
    } else if (seen_writable_) {
      note(ChainDefect::ReadableAfterWritable);
    }
    if (descriptor.length == 0) {
      return;  // no bytes, so no buffer: neither address nor place matters
    }
    if (!memory_.readable(GuestAddress(descriptor.address), descriptor.length)) {
      note(ChainDefect::BufferOutsideMemory);
      return;
    }
    last_ = {descriptor.address, descriptor.length};
    last_is_answer_ = writable;
    keep(writable);
  }

  void lose_rest(ChainDefect defect) {
    note(defect);
    last_is_answer_ = false;
  }

  ChainShape finish() {
    if (shape_.defect == ChainDefect::None) {
      return shape_;
    }
    ChainShape answer_only;
    answer_only.defect = shape_.defect;
    if (last_is_answer_) {
      store_[0] = {last_.address + last_.length - 1, 1};
      answer_only.writable_count = 1;
      answer_only.writable_bytes = 1;
    }
    return answer_only;
  }

 private:
  void note(ChainDefect defect) {
    if (shape_.defect == ChainDefect::None) {
      shape_.defect = defect;
    }
  }

  void keep(bool writable) {
    // Section 2.7.5.2: a driver must not make a chain of more than 2^32 bytes in total; used lengths are 32 bits wide.
    const auto total = checked_add(total_bytes_, last_.length);
    if (!total) {
      note(ChainDefect::TotalTooLong);
      return;
    }
    total_bytes_ = *total;
    const std::size_t count = std::size_t{shape_.readable_count} + shape_.writable_count;
    if (count == store_.size()) {
      note(ChainDefect::TooManySegments);
      return;
    }
    store_[count] = last_;
    (writable ? shape_.writable_count : shape_.readable_count) += 1;
    (writable ? shape_.writable_bytes : shape_.readable_bytes) += last_.length;
  }

  const GuestMemory& memory_;
  std::span<Segment> store_;
  ChainShape shape_;
  Segment last_ = {};
  std::uint32_t total_bytes_ = 0;
  bool seen_writable_ = false;
  bool last_is_answer_ = false;
};

/// What forbids following an indirect descriptor.
std::optional<QueueFault> indirect_fault(const Descriptor& descriptor, IndirectTables indirect, bool inside_table) {
  if (indirect == IndirectTables::Refused) {
    return QueueFault::IndirectNotNegotiated;
  }
  if (inside_table) {
    return QueueFault::NestedIndirect;
  }
  if (descriptor.has(ring::kDescriptorNext)) {
    return QueueFault::IndirectWithNext;
  }
  if (descriptor.length == 0 || descriptor.length % sizeof(VirtqDescriptor) != 0) {
    return QueueFault::IndirectTableLength;
  }
  return std::nullopt;
}

}  // namespace

WalkResult walk_chain(const GuestMemory& memory, const DescriptorTable& table, std::uint16_t head,
                      IndirectTables indirect, std::span<Segment> store) {
  SegmentCollector collector(memory, store);
  DescriptorTable current = table;
  bool inside_table = false;
  std::uint16_t index = head;
  std::size_t time_to_live = table.entry_count;
  while (true) {
    if (time_to_live == 0) {
      return QueueFault::ChainTooLong;
    }
    --time_to_live;
    const Descriptor descriptor = copy_descriptor(current, index);
    if (descriptor.has(ring::kDescriptorIndirect)) {
      if (const auto fault = indirect_fault(descriptor, indirect, inside_table)) {
        return *fault;
      }
      // Section 2.7.5.3.2: the WRITE flag of this descriptor means nothing, and normal descriptors may come before it.
      const auto slice = memory.readable(GuestAddress(descriptor.address), descriptor.length);
      if (!slice) {
        collector.lose_rest(ChainDefect::IndirectTableOutsideMemory);
        return collector.finish();
      }
      current = {*slice, descriptor.length / sizeof(VirtqDescriptor)};
      inside_table = true;
      index = 0;
      time_to_live = std::min(current.entry_count, kMaxIndirectDescriptors);
      continue;
    }
    collector.add(descriptor);
    if (!descriptor.has(ring::kDescriptorNext)) {
      return collector.finish();
    }
    if (descriptor.next >= current.entry_count) {
      return QueueFault::NextOutOfRange;
    }
    index = descriptor.next;
  }
}

}  // namespace wisp
