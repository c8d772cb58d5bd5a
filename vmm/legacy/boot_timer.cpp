#include "vmm/legacy/boot_timer.h"

#include <cinttypes>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

namespace wisp {

BootTimes boot_times_now() {
  return {monotonic_us(), process_cpu_time_us()};
}

void BootTimer::read(std::uint64_t /*offset*/, std::span<std::byte> /*data*/) {}

void BootTimer::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset != 0 || data.size() != 1 || data[0] != std::byte{kBootTimerMark}) {
    return;
  }
  const BootTimes now = now_();
  const std::uint64_t wall_us = now.wall_us - start_.wall_us;
  const std::uint64_t cpu_us = now.cpu_us - start_.cpu_us;
  // Limited, because a guest can say it in a loop.
  WISP_LOG_LIMITED(Info, "Guest-boot-time = %6" PRIu64 " us %" PRIu64 " ms, %6" PRIu64 " CPU us %" PRIu64 " CPU ms",
                   wall_us, wall_us / 1000, cpu_us, cpu_us / 1000);
}

}  // namespace wisp
