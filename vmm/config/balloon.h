// The balloon as the operator asks for it, and what it tells: plain data.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace wisp {

/// The device counts 4 KiB pages in 32 bits.
inline constexpr std::uint32_t kMaxBalloonMib = (1U << 24U) - 1;

struct BalloonConfig {
  std::uint32_t amount_mib = 0;
  bool deflate_on_oom = false;
  std::uint16_t stats_polling_interval_s = 0;  ///< 0: no statistics
  bool free_page_hinting = false;
  bool free_page_reporting = false;
};

/// The tags of virtio 1.2 section 5.5.6.4 and those that Linux added since.
inline constexpr std::size_t kBalloonStatCount = 16;

struct BalloonStatistics {
  std::uint64_t target_pages = 0;  ///< of 4 KiB
  std::uint64_t actual_pages = 0;
  std::uint64_t target_mib = 0;
  std::uint64_t actual_mib = 0;
  /// Indexed by the tag; absent: the guest never sent it.
  std::array<std::optional<std::uint64_t>, kBalloonStatCount> guest{};
};

/// What the device does when the guest says that it has reported all its free pages.
enum class HintingStop { Acknowledge, WaitForOperator };

struct BalloonHintingStatus {
  std::uint32_t host_command = 0;
  std::optional<std::uint32_t> guest_command;
};

}  // namespace wisp
