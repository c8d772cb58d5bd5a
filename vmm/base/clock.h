// Time comes in through this door, so that tests can hold it still.
#pragma once

#include <cstdint>

namespace wisp {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic time in nanoseconds.
  virtual std::uint64_t now_ns() const = 0;
};

/// CLOCK_MONOTONIC.
class MonotonicClock final : public Clock {
 public:
  std::uint64_t now_ns() const override;
};

const Clock& monotonic_clock();

/// CPU time used by this process so far, in microseconds.
std::uint64_t process_cpu_time_us();
/// CLOCK_MONOTONIC in microseconds.
std::uint64_t monotonic_us();

}  // namespace wisp
