// PowerControl: the ACPI sleep control and sleep status registers of a hardware-reduced machine (ACPI 6.5, 4.8.3.7).
//
//   offset 0  sleep control: bit 5 (SLP_EN) with the sleep type in bits 4..2 puts the machine to sleep
//   offset 1  sleep status: always 0, since nothing ever wakes
//
// One sleep type exists, soft-off: on_power_off is called, the first time. Everything else is ignored.
#pragma once

#include <atomic>
#include <functional>

#include "vmm/bus/bus.h"

namespace wisp {

inline constexpr std::uint64_t kPowerControlRegisterCount = 2;

class PowerControl final : public BusDevice {
 public:
  /// `on_power_off` runs on the vCPU's thread; it must only pass the word on.
  PowerControl(std::uint8_t soft_off_type, std::function<void()> on_power_off)
      : soft_off_type_(soft_off_type), on_power_off_(std::move(on_power_off)) {}

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  const std::uint8_t soft_off_type_;
  const std::function<void()> on_power_off_;
  std::atomic<bool> requested_ = false;
};

}  // namespace wisp
