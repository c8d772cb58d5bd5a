// EntropyRequest: what one descriptor chain asks of the entropy device (virtio 1.2 section 5.4.6).
//
// A request is a place to write to and nothing else: the driver must not offer device-readable buffers (5.4.6.1). The
// device may fill less than it is offered, and fills kMaxEntropyRequestBytes at most, so that a large buffer costs no
// more than a small one. parse_entropy_request is a pure function; a request that cannot be carried out has a defect.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "virtio/core/descriptor_chain.h"

namespace wisp {

/// The most random bytes that one request gets.
inline constexpr std::uint32_t kMaxEntropyRequestBytes = 64U * 1024U;

enum class EntropyDefect : std::uint8_t {
  None,
  BadChain,         ///< see ChainDefect
  HasReadablePart,  ///< section 5.4.6.1: the driver must not
  NothingToFill,
};

constexpr const char* entropy_defect_name(EntropyDefect defect) {
  constexpr std::array<const char*, 4> kNames = {"none", "bad descriptor chain", "readable buffers", "nothing to fill"};
  return kNames[static_cast<std::size_t>(defect)];
}

struct EntropyRequest {
  EntropyDefect defect = EntropyDefect::None;
  ChainWriter target;  ///< at most kMaxEntropyRequestBytes
};

/// The cursor points into the chain, which must live as long as the request.
inline EntropyRequest parse_entropy_request(const DescriptorChain& chain) {
  if (chain.defect() != ChainDefect::None) {
    return {EntropyDefect::BadChain, {}};
  }
  if (!chain.reader().empty()) {
    return {EntropyDefect::HasReadablePart, {}};
  }
  ChainWriter target = chain.writer();
  if (target.empty()) {
    return {EntropyDefect::NothingToFill, {}};
  }
  (void)target.split_off(std::min(target.size_bytes(), kMaxEntropyRequestBytes));
  return {EntropyDefect::None, target};
}

}  // namespace wisp
