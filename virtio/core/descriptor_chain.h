// DescriptorChain: the right and the duty to answer one request.
//
//   std::move(chain).complete(written_bytes);   // answered: goes to the used ring
//   std::move(chain).put_back();                // not now: the driver's queue looks as if it had not been popped
//
// A chain is a move-only token. Its descriptors were copied and checked when it was popped, so nothing that the driver
// writes afterwards changes what reader() and writer() show. Each chain ends exactly once; one that is destroyed
// without an end is completed with length 0 and counted (VirtQueue::dropped_chain_count), because a lost buffer is
// worse than an empty answer. A chain must not outlive its VirtQueue; a device that drops a queue abandons its chains
// first.
#pragma once

#include <cstdint>

#include "virtio/core/chain_cursor.h"
#include "virtio/core/chain_walk.h"
#include "virtio/core/queue_fault.h"

namespace wisp {

class RingCore;

class DescriptorChain {
 public:
  DescriptorChain(DescriptorChain&& other) noexcept;
  DescriptorChain& operator=(DescriptorChain&& other) noexcept;
  DescriptorChain(const DescriptorChain&) = delete;
  DescriptorChain& operator=(const DescriptorChain&) = delete;
  ~DescriptorChain();

  std::uint16_t head() const { return head_; }
  /// Anything but None: the request cannot be carried out. writer() is then the one byte at the chain's end, if that
  /// can be written, and reader() is empty.
  ChainDefect defect() const { return shape_.defect; }
  ChainReader reader() const;
  ChainWriter writer() const;

  /// Hands the buffers back to the driver. `written_bytes` is what was really written to the writable part.
  void complete(std::uint32_t written_bytes) &&;
  /// Undoes the pop. Only for the chain that was popped last and not put back; several go back in reverse order.
  void put_back() &&;
  /// Forgets the chain without an answer. Only when the queue is about to be dropped (device reset).
  void abandon() &&;

 private:
  friend class RingCore;
  DescriptorChain(RingCore& core, std::uint16_t head, const ChainShape& shape)
      : core_(&core), head_(head), shape_(shape) {}
  void drop();

  RingCore* core_;  // null: ended or moved from
  std::uint16_t head_;
  ChainShape shape_;
};

}  // namespace wisp
