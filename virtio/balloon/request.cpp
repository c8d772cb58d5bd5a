#include "virtio/balloon/request.h"

#include <algorithm>

#include "vmm/base/endian.h"

namespace wisp {

/// struct virtio_balloon_stat of section 5.5.6.3, which is packed.
struct StatisticPair {
  Le16 tag;
  Le64 value;
};
static_assert(sizeof(StatisticPair) == 10 && offsetof(StatisticPair, value) == 2);
template <>
inline constexpr bool kIsGuestPod<StatisticPair> = true;

std::span<const std::uint32_t> FrameListReader::next(ChainReader& list) {
  const std::size_t count = std::min<std::size_t>(list.size_bytes() / kFrameNumberBytes, frames_.size());
  std::array<Le32, kFramesPerPiece> wire;
  const auto piece = std::span(wire).first(count);
  if (count == 0 || !list.read_bytes(std::as_writable_bytes(piece))) {
    return {};
  }
  std::ranges::copy(piece, frames_.begin());
  return std::span(frames_).first(count);
}

StatisticsDefect read_statistics(ChainReader list, GuestStatistics& statistics) {
  for (std::uint32_t pair = 0; pair < kMaxStatisticPairs && !list.empty(); ++pair) {
    const auto wire = list.read<StatisticPair>();
    if (!wire) {
      return StatisticsDefect::Malformed;
    }
    if (wire->tag < statistics.size()) {
      statistics[wire->tag] = wire->value.get();
    }
  }
  return list.empty() ? StatisticsDefect::None : StatisticsDefect::Malformed;
}

}  // namespace wisp
