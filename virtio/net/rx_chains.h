// RxChains: the receive buffers that are gathered for one frame (virtio 1.2 section 5.1.6.4).
//
//   chains.push(chain);  chains.push(chain);                 // enough of them; the first keeps room for the header
//   read = backend.read_frame(header, chains.targets(), bounce)
//   chains.put_back_surplus(frame_bytes);
//   chains.complete(header, {frame_bytes, read.direct_bytes, bounce});
//
// A frame's bytes are either in the buffers already, because the kernel put them there, or in the bounce buffer; each
// at its own offset. Between frames it is empty: no chain stays here longer than one call of the device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "virtio/core/descriptor_chain.h"
#include "virtio/core/device.h"
#include "virtio/net/packet.h"

namespace wisp {

/// One frame on its way: the first direct_bytes are in the gathered buffers, the others in `bounce` at their offset.
struct RxFrame {
  std::size_t bytes = 0;
  std::size_t direct_bytes = 0;
  std::span<std::byte> bounce;
};

class RxChains {
 public:
  std::size_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  /// Bytes of a frame that fit.
  std::size_t capacity_bytes() const { return capacity_bytes_; }
  std::span<const ChainWriter> targets() const { return std::span(targets_).first(count_); }

  /// Whether `chain` can be used next: writable room for the header (the first) or for one byte.
  bool accepts(const DescriptorChain& chain) const;
  void push(DescriptorChain chain);

  /// Gives back, from the end, what a frame of `frame_bytes` does not need.
  void put_back_surplus(std::size_t frame_bytes);
  void put_back_all();
  /// All go to the driver with used length 0.
  void return_empty();
  /// Copies what the kernel put into the buffers to the bounce buffer, which then has all of the frame.
  void salvage(RxFrame& frame) const;
  /// Writes the header with its number of buffers, moves what is in the bounce buffer, and completes every chain with
  /// what is in it. The frame must fit.
  void complete(VnetHeader header, const RxFrame& frame);

 private:
  void pop_back();
  std::array<std::optional<DescriptorChain>, kMaxQueueSize> chains_;
  std::array<ChainWriter, kMaxQueueSize> targets_;
  std::size_t count_ = 0;
  std::size_t capacity_bytes_ = 0;
};

}  // namespace wisp
