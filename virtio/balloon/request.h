// What a balloon's driver sends, in host terms (virtio 1.2 section 5.5).
//
//   inflate, deflate   readable: page frame numbers of 32 bits, any number of them
//   statistics         readable: {tag, value} pairs of 10 bytes; values of unknown tags are skipped
//   hinting            readable: a command id of 32 bits, or writable: free ranges
//   reporting          writable: free ranges
//
// Everything is copied once and then used from the copy. Lists are read in pieces of a fixed size.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "virtio/core/chain_cursor.h"
#include "vmm/config/balloon.h"

namespace wisp {

/// Section 5.5.3.
namespace balloon_feature {
inline constexpr std::uint64_t kStatsQueue = 1U << 1U;
inline constexpr std::uint64_t kDeflateOnOom = 1U << 2U;
inline constexpr std::uint64_t kFreePageHint = 1U << 3U;
inline constexpr std::uint64_t kPageReporting = 1U << 5U;
}  // namespace balloon_feature

enum class BalloonQueue : std::uint8_t { Inflate, Deflate, Statistics, Hinting, Reporting };
inline constexpr std::size_t kBalloonQueueKinds = 5;

inline constexpr std::uint32_t kFrameNumberBytes = 4;
/// Page frame numbers that are copied at a time.
inline constexpr std::size_t kFramesPerPiece = 1024;

/// The next frame numbers of a list, at most kFramesPerPiece; empty at its end (or when the list can no longer be
/// read). An incomplete number at the end is left over.
class FrameListReader {
 public:
  std::span<const std::uint32_t> next(ChainReader& list);

 private:
  std::array<std::uint32_t, kFramesPerPiece> frames_{};
};

/// Pairs that are looked at in one buffer: four times as many as there are tags.
inline constexpr std::uint32_t kMaxStatisticPairs = 64;

using GuestStatistics = std::array<std::optional<std::uint64_t>, kBalloonStatCount>;

enum class StatisticsDefect { None, Malformed };

/// Takes the values of the tags that are known into `statistics`. Malformed: not made of whole pairs, or more than
/// kMaxStatisticPairs; what was read until then counts.
StatisticsDefect read_statistics(ChainReader list, GuestStatistics& statistics);

}  // namespace wisp
