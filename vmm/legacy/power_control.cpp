#include "vmm/legacy/power_control.h"

namespace wisp {
namespace {

constexpr std::uint8_t kSleepEnable = 1U << 5U;
constexpr std::uint8_t kSleepTypeShift = 2;
constexpr std::uint8_t kSleepTypeMask = 7;

}  // namespace

// Zero in both registers: not asleep, never woken.
void PowerControl::read(std::uint64_t /*offset*/, std::span<std::byte> /*data*/) {}

void PowerControl::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset != 0 || data.size() != 1) {
    return;
  }
  const auto value = static_cast<std::uint8_t>(data[0]);
  const std::uint8_t type = static_cast<std::uint8_t>(value >> kSleepTypeShift) & kSleepTypeMask;
  if ((value & kSleepEnable) != 0 && type == soft_off_type_ && !requested_.exchange(true)) {
    on_power_off_();
  }
}

}  // namespace wisp
