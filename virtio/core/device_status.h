// The device status register as a table (virtio 1.2 section 2.1 and 3.1.1).
//
// A driver adds one bit at a time, in one order; it may add FAILED at any time and write 0 to reset. Everything else is
// ignored. DEVICE_NEEDS_RESET is the device's own bit: what the driver writes there does not count.
#pragma once

#include <array>
#include <cstdint>

namespace wisp {

namespace status {

inline constexpr std::uint32_t kAcknowledge = 0x01;
inline constexpr std::uint32_t kDriver = 0x02;
inline constexpr std::uint32_t kDriverOk = 0x04;
inline constexpr std::uint32_t kFeaturesOk = 0x08;
inline constexpr std::uint32_t kNeedsReset = 0x40;
inline constexpr std::uint32_t kFailed = 0x80;

/// The only states without FAILED that a device is ever in.
inline constexpr std::uint32_t kReset = 0;
inline constexpr std::uint32_t kFound = kAcknowledge;
inline constexpr std::uint32_t kNegotiating = kFound | kDriver;
inline constexpr std::uint32_t kConfiguring = kNegotiating | kFeaturesOk;
inline constexpr std::uint32_t kLive = kConfiguring | kDriverOk;

}  // namespace status

enum class StatusStep : std::uint8_t {
  Ignore,         ///< not legal from here: nothing changes
  Keep,           ///< the same value again
  Advance,        ///< the written value becomes the status
  CheckFeatures,  ///< likewise, if the features are acceptable (section 3.1.1 step 5)
  Activate,       ///< likewise, and the device goes live
  Fail,           ///< FAILED is added to the status
  Reset,
};

struct StatusTransition {
  std::uint32_t from;
  std::uint32_t to;
  StatusStep step;
};

inline constexpr std::array<StatusTransition, 4> kStatusTransitions = {{
    {status::kReset, status::kFound, StatusStep::Advance},
    {status::kFound, status::kNegotiating, StatusStep::Advance},
    {status::kNegotiating, status::kConfiguring, StatusStep::CheckFeatures},
    {status::kConfiguring, status::kLive, StatusStep::Activate},
}};

/// What a write of `written` means when the status is `current` (both may have NEEDS_RESET set; it is left out).
constexpr StatusStep status_step(std::uint32_t current, std::uint32_t written) {
  if (written == 0) {
    return StatusStep::Reset;
  }
  const std::uint32_t from = current & ~status::kNeedsReset;
  const std::uint32_t to = written & ~status::kNeedsReset;
  if (to == from) {
    return StatusStep::Keep;
  }
  if (to == (from | status::kFailed)) {
    return StatusStep::Fail;
  }
  for (const StatusTransition& transition : kStatusTransitions) {
    if (transition.from == from && transition.to == to) {
      return transition.step;
    }
  }
  return StatusStep::Ignore;
}

}  // namespace wisp
