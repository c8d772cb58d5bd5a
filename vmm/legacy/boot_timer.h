// BootTimer: a page where the guest says "I have booted"; the time since InstanceStart goes to the log.
//
//   Guest-boot-time =  12345 us 12 ms,   6789 CPU us 6 CPU ms
//
// The word is the byte kBootTimerMark at offset 0. Everything else is ignored, and it may be said again.
#pragma once

#include <cstdint>

#include "vmm/bus/bus.h"

namespace wisp {

inline constexpr std::uint8_t kBootTimerMark = 123;

/// Wall-clock time (monotonic) and the process's CPU time.
struct BootTimes {
  std::uint64_t wall_us = 0;
  std::uint64_t cpu_us = 0;
};
using ReadBootTimes = BootTimes (*)();
BootTimes boot_times_now();

class BootTimer final : public BusDevice {
 public:
  /// `start` is when InstanceStart was handled.
  explicit BootTimer(BootTimes start, ReadBootTimes now = &boot_times_now) : start_(start), now_(now) {}

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  const BootTimes start_;
  const ReadBootTimes now_;
};

}  // namespace wisp
