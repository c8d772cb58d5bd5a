// A virtio-mem request: what the driver asks, in host terms (virtio 1.2 section 5.15.6).
//
//   const MemRequest request = parse_mem_request(chain, shape);
//   request.defect != None      -> answer Error, if the answer fits at all
//   request.op == Plug          -> request.blocks is a range of whole blocks inside the usable region
//
// The 24 bytes of a request are copied once; everything here comes from the copy. Sums are made in 64 bits and checked.
#pragma once

#include <array>
#include <cstdint>

#include "virtio/core/descriptor_chain.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

enum class MemOp : std::uint16_t { Plug = 0, Unplug = 1, UnplugAll = 2, State = 3 };

/// Section 5.15.6: how a request ended.
enum class MemAnswer : std::uint16_t {
  Ack = 0,
  Nack = 1,   ///< more than the operator asked for
  Busy = 2,   ///< the host could not, just now; nothing has changed
  Error = 3,  ///< the request makes no sense
};

enum class BlockState : std::uint16_t { Plugged = 0, Unplugged = 1, Mixed = 2 };

enum class MemDefect : std::uint8_t {
  None,
  BadChain,         ///< see ChainDefect
  NoRoomForAnswer,  ///< fewer than kMemAnswerBytes writable: nothing is carried out
  TooShort,         ///< fewer than 24 readable bytes
  UnknownType,
  NoBlocks,         ///< a count of zero
  NotAligned,       ///< an address that is not a multiple of the block size
  OutsideUsable,    ///< not wholly inside the usable region, or a sum that wraps
  WrongBlockState,  ///< plugging what is plugged, or unplugging what is not
};
inline constexpr std::size_t kMemDefectCount = 9;

constexpr const char* mem_defect_name(MemDefect defect) {
  constexpr std::array<const char*, kMemDefectCount> kNames = {
      "none",      "bad descriptor chain", "no room for the answer",    "too short",         "unknown type",
      "no blocks", "not aligned",          "outside the usable region", "wrong block state",
  };
  return kNames[static_cast<std::size_t>(defect)];
}

inline constexpr std::uint32_t kMemRequestBytes = 24;
inline constexpr std::uint32_t kMemAnswerBytes = 10;

/// What a request is checked against.
struct MemShape {
  GuestRange usable;
  std::uint64_t block_size_bytes = 0;
};

struct MemRequest {
  MemOp op = MemOp::State;
  MemDefect defect = MemDefect::None;
  GuestRange blocks;   ///< of Plug, Unplug and State
  ChainWriter answer;  ///< exactly kMemAnswerBytes, or empty when they do not fit
};

/// The writer points into the chain, which must live as long as the request.
MemRequest parse_mem_request(const DescriptorChain& chain, const MemShape& shape);

/// Writes the whole answer; the number of bytes written, 0 when it could not be (its buffer may be in memory that this
/// very request has unplugged).
std::uint32_t write_mem_answer(ChainWriter writer, MemAnswer answer, BlockState state);

}  // namespace wisp
