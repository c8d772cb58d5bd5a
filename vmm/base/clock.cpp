#include "vmm/base/clock.h"

#include <ctime>

namespace wisp {
namespace {

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr std::uint64_t kNanosecondsPerMicrosecond = 1'000;

std::uint64_t read_ns(clockid_t id) {
  timespec time{};
  ::clock_gettime(id, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * kNanosecondsPerSecond + static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

std::uint64_t MonotonicClock::now_ns() const {
  return read_ns(CLOCK_MONOTONIC);
}
const Clock& monotonic_clock() {
  static const MonotonicClock clock;
  return clock;
}
std::uint64_t Stopwatch::elapsed_us() const {
  return (clock_.now_ns() - start_ns_ + kNanosecondsPerMicrosecond - 1) / kNanosecondsPerMicrosecond;
}
std::uint64_t process_cpu_time_us() {
  return read_ns(CLOCK_PROCESS_CPUTIME_ID) / kNanosecondsPerMicrosecond;
}
std::uint64_t monotonic_us() {
  return read_ns(CLOCK_MONOTONIC) / kNanosecondsPerMicrosecond;
}

}  // namespace wisp
