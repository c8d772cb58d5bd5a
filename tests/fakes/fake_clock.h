// A clock that stands still until the test moves it: `clock.now += 3 * kMs;`.
#pragma once

#include <cstdint>

#include "vmm/base/clock.h"

namespace wisp::fakes {

struct FakeClock final : Clock {
  std::uint64_t now_ns() const override { return now; }
  /// In nanoseconds. Begins away from 0, which too much code takes for "never".
  std::uint64_t now = 5'000'000'000;
};

}  // namespace wisp::fakes
