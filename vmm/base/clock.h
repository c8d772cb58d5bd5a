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

/// Runs from its construction.
class Stopwatch {
 public:
  explicit Stopwatch(const Clock& clock = monotonic_clock()) : clock_(clock), start_ns_(clock.now_ns()) {}
  /// Rounded up: what took any time took at least one microsecond, so 0 in a metric always means "never happened".
  std::uint64_t elapsed_us() const;

 private:
  const Clock& clock_;
  std::uint64_t start_ns_;
};

/// CPU time used by this process so far, in microseconds.
std::uint64_t process_cpu_time_us();
/// CLOCK_MONOTONIC in microseconds.
std::uint64_t monotonic_us();

}  // namespace wisp
