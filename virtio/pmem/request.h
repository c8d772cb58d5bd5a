// PmemRequest: what one descriptor chain asks of a persistent memory device (virtio 1.2 section 5.19.6).
//
//   readable bytes   le32 type: 0 is flush, the only one
//   writable bytes   le32 result: 0, or 1 for an error (5.19.6: VIRTIO_PMEM_RESP_TYPE_EIO; Linux fails on any but 0)
//
// Framing means nothing (section 2.7.4), the sizes are exact. parse_pmem_request is a pure function: the type is copied
// once and only the copy is looked at.
#pragma once

#include <cstdint>

#include "virtio/core/descriptor_chain.h"
#include "vmm/base/endian.h"

namespace wisp {

enum class PmemOp : std::uint8_t {
  Flush,
  Unsupported,  ///< answered with an error
  Malformed,    ///< there may be no place for an answer: returned with length 0
};

enum class PmemAnswer : std::uint32_t { Ok = 0, IoError = 1 };
inline constexpr std::uint32_t kPmemFieldBytes = 4;

inline PmemOp parse_pmem_request(const DescriptorChain& chain) {
  ChainReader head = chain.reader();
  if (chain.defect() != ChainDefect::None || head.size_bytes() != kPmemFieldBytes ||
      chain.writer().size_bytes() != kPmemFieldBytes) {
    return PmemOp::Malformed;
  }
  constexpr std::uint32_t kTypeFlush = 0;
  const auto type = head.read<Le32>();
  return type && *type == kTypeFlush ? PmemOp::Flush : PmemOp::Unsupported;
}

}  // namespace wisp
