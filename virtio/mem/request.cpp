#include "virtio/mem/request.h"

#include "vmm/base/checked.h"
#include "vmm/base/endian.h"

namespace wisp {

/// struct virtio_mem_req of section 5.15.6; the three kinds with a range share its layout.
struct MemRequestWire {
  Le16 type;
  std::array<Le16, 3> padding;
  Le64 address;
  Le16 block_count;
  std::array<Le16, 3> padding_behind;
};
static_assert(sizeof(MemRequestWire) == kMemRequestBytes);
static_assert(offsetof(MemRequestWire, address) == 8 && offsetof(MemRequestWire, block_count) == 16);
template <>
inline constexpr bool kIsGuestPod<MemRequestWire> = true;

/// struct virtio_mem_resp.
struct MemAnswerWire {
  Le16 type;
  std::array<Le16, 3> padding;
  Le16 state;
};
static_assert(sizeof(MemAnswerWire) == kMemAnswerBytes && offsetof(MemAnswerWire, state) == 8);

namespace {

MemDefect check_blocks(const MemRequestWire& wire, const MemShape& shape, GuestRange& blocks) {
  const GuestAddress start(wire.address);
  // At most 2^16 blocks of at most 2^51 bytes: the product cannot wrap for any block size that can be configured, but
  // the check costs nothing.
  const auto size = checked_mul(std::uint64_t{wire.block_count}, shape.block_size_bytes);
  if (size == 0U) {
    return MemDefect::NoBlocks;
  }
  if (!start.is_aligned(shape.block_size_bytes)) {
    return MemDefect::NotAligned;
  }
  const auto offset = start.offset_from(shape.usable.start);
  if (!size || !offset || !range_fits(*offset, *size, shape.usable.size_bytes)) {
    return MemDefect::OutsideUsable;
  }
  blocks = {start, *size};
  return MemDefect::None;
}

MemDefect parse(const DescriptorChain& chain, const MemShape& shape, MemRequest& request) {
  if (chain.defect() != ChainDefect::None) {
    return MemDefect::BadChain;
  }
  ChainWriter writer = chain.writer();
  if (writer.size_bytes() < kMemAnswerBytes) {
    return MemDefect::NoRoomForAnswer;
  }
  (void)writer.split_off(kMemAnswerBytes);
  request.answer = writer;
  const auto wire = chain.reader().read<MemRequestWire>();
  if (!wire) {
    return MemDefect::TooShort;
  }
  switch (wire->type) {
    case static_cast<std::uint16_t>(MemOp::Plug): request.op = MemOp::Plug; break;
    case static_cast<std::uint16_t>(MemOp::Unplug): request.op = MemOp::Unplug; break;
    case static_cast<std::uint16_t>(MemOp::State): request.op = MemOp::State; break;
    case static_cast<std::uint16_t>(MemOp::UnplugAll): request.op = MemOp::UnplugAll; return MemDefect::None;
    default: return MemDefect::UnknownType;
  }
  return check_blocks(*wire, shape, request.blocks);
}

}  // namespace

MemRequest parse_mem_request(const DescriptorChain& chain, const MemShape& shape) {
  MemRequest request;
  request.defect = parse(chain, shape, request);
  return request;
}

std::uint32_t write_mem_answer(ChainWriter writer, MemAnswer answer, BlockState state) {
  const MemAnswerWire wire{static_cast<std::uint16_t>(answer), {}, static_cast<std::uint16_t>(state)};
  return writer.write_bytes(std::as_bytes(std::span(&wire, 1))) ? kMemAnswerBytes : 0;
}

}  // namespace wisp
