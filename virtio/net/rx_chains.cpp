#include "virtio/net/rx_chains.h"

#include <algorithm>
#include <utility>

#include "vmm/base/assert.h"

namespace wisp {

bool RxChains::accepts(const DescriptorChain& chain) const {
  const std::size_t needed = empty() ? kVnetHeaderBytes : 1;
  return chain.defect() == ChainDefect::None && chain.writer().size_bytes() >= needed;
}

void RxChains::push(DescriptorChain chain) {
  WISP_ASSERT(count_ < chains_.size());
  ChainWriter target = chain.writer();
  if (empty()) {
    target.skip(kVnetHeaderBytes);
  }
  capacity_bytes_ += target.size_bytes();
  targets_[count_] = target;
  chains_[count_].emplace(std::move(chain));
  ++count_;
}

void RxChains::pop_back() {
  --count_;
  capacity_bytes_ -= targets_[count_].size_bytes();
  std::move(*chains_[count_]).put_back();
  chains_[count_].reset();
}

void RxChains::put_back_surplus(std::size_t frame_bytes) {
  while (count_ > 1 && capacity_bytes_ - targets_[count_ - 1].size_bytes() >= frame_bytes) {
    pop_back();
  }
}

void RxChains::put_back_all() {
  while (count_ > 0) {
    pop_back();
  }
}

void RxChains::return_empty() {
  for (std::size_t index = 0; index < count_; ++index) {
    std::move(*chains_[index]).complete(0);
    chains_[index].reset();
  }
  count_ = 0;
  capacity_bytes_ = 0;
}

void RxChains::salvage(RxFrame& frame) const {
  std::size_t offset = 0;
  for (std::size_t index = 0; index < count_ && offset < frame.direct_bytes; ++index) {
    ChainWriter target = targets_[index];
    const std::size_t part = std::min<std::size_t>(target.size_bytes(), frame.direct_bytes - offset);
    ChainWriter written = target;
    written.mark_written(static_cast<std::uint32_t>(part));
    (void)target.read_back(frame.bounce.subspan(offset, part));  // the part was checked when the chain was popped
    offset += part;
  }
  frame.direct_bytes = 0;
}

void RxChains::complete(VnetHeader header, const RxFrame& frame) {
  WISP_ASSERT(count_ > 0 && frame.bytes <= capacity_bytes_);
  header.num_buffers = static_cast<std::uint16_t>(count_);
  ChainWriter front = chains_[0]->writer();
  (void)front.write_bytes(std::as_bytes(std::span(&header, 1)));  // accepts() saw the room
  std::size_t offset = 0;
  for (std::size_t index = 0; index < count_; ++index) {
    ChainWriter& target = targets_[index];
    const std::size_t part = std::min<std::size_t>(target.size_bytes(), frame.bytes - offset);
    const std::size_t direct = std::min(part, frame.direct_bytes - std::min(frame.direct_bytes, offset));
    target.mark_written(static_cast<std::uint32_t>(direct));
    (void)target.write_bytes(frame.bounce.subspan(offset + direct, part - direct));
    offset += part;
    const std::size_t used_bytes = part + (index == 0 ? kVnetHeaderBytes : 0);
    std::move(*chains_[index]).complete(static_cast<std::uint32_t>(used_bytes));
    chains_[index].reset();
  }
  count_ = 0;
  capacity_bytes_ = 0;
}

}  // namespace wisp
