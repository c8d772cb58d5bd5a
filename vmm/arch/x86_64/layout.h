// The guest's physical address map, as numbers. Every other file of the boot protocol takes its addresses from here.
//
//   0x0000_0000  RAM      boot structures below 0x9_fc00, then the firmware tables, the kernel from 1 MiB on
//   0xc000_0000  gap      1 GiB for devices: boot timer, virtio slots, (PCI window), IOAPIC, LAPIC, KVM's own pages
//   0x1_0000_0000  RAM    what does not fit below 3 GiB, up to 256 GiB
//   0x40_0000_0000  gap   256 GiB for 64-bit device windows
//   0x80_0000_0000  RAM   what does not fit below 256 GiB
//
// The numbers are those of the reference monitor: guests, and snapshots of guests, know them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

inline constexpr std::uint64_t kKib = 1024;
inline constexpr std::uint64_t kMib = 1024 * kKib;
inline constexpr std::uint64_t kGib = 1024 * kMib;

// Boot structures, all in the first 640 KiB.
inline constexpr GuestRange kBootGdt{GuestAddress(0x500), 4 * sizeof(std::uint64_t)};
inline constexpr GuestRange kBootIdt{GuestAddress(0x520), sizeof(std::uint64_t)};
inline constexpr GuestRange kPvhStartInfo{GuestAddress(0x6000), 0x40};
inline constexpr GuestRange kPvhModules{GuestAddress(0x6040), 0x20};
/// The zero page of the Linux protocol, or PVH's memory map; never both.
inline constexpr GuestRange kZeroPage{GuestAddress(0x7000), 4 * kKib};
inline constexpr GuestRange kBootStack{GuestAddress(0x8000), 0xff0};
inline constexpr GuestRange kPml4{GuestAddress(0x9000), 4 * kKib};
inline constexpr GuestRange kPdpt{GuestAddress(0xa000), 4 * kKib};
inline constexpr GuestRange kPageDirectory{GuestAddress(0xb000), 4 * kKib};
inline constexpr GuestRange kCommandLine{GuestAddress(0x20000), 2 * kKib};
/// Firmware tables: the MP table at its start (where a scan of the last KiB of base memory finds it), then ACPI.
inline constexpr GuestRange kSystemArea{GuestAddress(0x9fc00), 0xe0000 - 0x9fc00};
/// The generation devices' pages, at the upper end of that area: the identifier last, below it a page of its own.
inline constexpr GuestRange kVmGenId{GuestAddress(0xdfff0), 16};
/// In front of it, in the page that a restore writes anyway: which state file this memory belongs to.
inline constexpr GuestRange kPairId{GuestAddress(0xdffe0), 16};
inline constexpr GuestRange kVmClock{GuestAddress(0xde000), 4 * kKib};
inline constexpr GuestRange kRsdp{GuestAddress(0xe0000), 36};
/// Where a scan for the RSDP ends and a kernel may begin.
inline constexpr std::uint64_t kKernelMinimum = kMib;

// RAM and the two gaps in it.
inline constexpr std::uint64_t kLowRamEnd = 3 * kGib;
inline constexpr std::uint64_t kHighRamStart = 4 * kGib;
inline constexpr std::uint64_t kHighRamEnd = 256 * kGib;
inline constexpr std::uint64_t kFarRamStart = 512 * kGib;
/// Memory of devices (hot-pluggable, persistent) lies from the end of far RAM to here.
inline constexpr std::uint64_t kDeviceMemoryEnd = 1024 * kGib;

// Devices.
inline constexpr GuestRange kBootTimer{GuestAddress(0xc0000000), 0x1000};
inline constexpr std::uint64_t kMmioSlotSizeBytes = 0x1000;
inline constexpr GuestRange kMmioWindow{GuestAddress(0xc0001000), 0xeec00000 - 0xc0001000};
inline constexpr GuestRange kPciConfigWindow{GuestAddress(0xeec00000), 256 * kMib};
inline constexpr GuestRange kIoApic{GuestAddress(0xfec00000), 0x1000};
inline constexpr GuestRange kLocalApic{GuestAddress(0xfee00000), 0x1000};
/// Three pages below 4 GiB that KVM itself needs (KVM_SET_TSS_ADDR).
inline constexpr GuestRange kKvmTss{GuestAddress(0xfffbd000), 3 * 0x1000};

inline constexpr std::uint64_t kSerialPort = 0x3f8;
inline constexpr std::uint64_t kSerialPortCount = 8;
inline constexpr std::uint64_t kKeyboardPort = 0x60;
inline constexpr std::uint64_t kKeyboardPortCount = 5;
/// The ACPI sleep control register, and the sleep status register behind it.
inline constexpr std::uint64_t kPowerControlPort = 0x600;
/// The sleep type of the soft-off state (_S5): switched off.
inline constexpr std::uint8_t kSoftOffSleepType = 5;

// Interrupt lines (GSIs).
inline constexpr std::uint32_t kKeyboardGsi = 1;
inline constexpr std::uint32_t kSerialGsi = 4;
inline constexpr std::uint32_t kFirstMmioGsi = 5;
inline constexpr std::uint32_t kLastMmioGsi = 23;
inline constexpr std::uint32_t kIoApicLineCount = 24;
/// The two generation devices, which every machine has, take the last lines.
inline constexpr std::uint32_t kVmGenIdGsi = kLastMmioGsi - 1;
inline constexpr std::uint32_t kVmClockGsi = kLastMmioGsi;
inline constexpr std::uint32_t kReservedGsiCount = 2;
inline constexpr std::uint32_t kMaxMmioDevices = kLastMmioGsi - kFirstMmioGsi + 1 - kReservedGsiCount;
static_assert(kMaxMmioDevices == 17 && kFirstMmioGsi + kMaxMmioDevices == kVmGenIdGsi);

/// Where a virtio-mmio device sits and which line it raises.
struct MmioSlot {
  GuestAddress address;
  std::uint32_t gsi = 0;
};

/// Slots are given out in the order of attachment; `index` < kMaxMmioDevices.
constexpr std::uint64_t mmio_slot_address(std::uint32_t index) {
  return kMmioWindow.start.value() + index * kMmioSlotSizeBytes;
}
constexpr std::uint32_t mmio_slot_gsi(std::uint32_t index) {
  return kFirstMmioGsi + index;
}
constexpr MmioSlot mmio_slot(std::uint32_t index) {
  return {GuestAddress(mmio_slot_address(index)), mmio_slot_gsi(index)};
}

/// The RAM regions of a machine with `memory_bytes` of memory: ascending, disjoint, one to three of them.
std::vector<GuestRange> ram_ranges(std::uint64_t memory_bytes);

constexpr std::uint64_t end_of(GuestRange range) {
  return range.start.value() + range.size_bytes;
}

namespace layout_check {

template <std::size_t N>
constexpr bool ascending_and_disjoint(const std::array<GuestRange, N>& ranges) {
  for (std::size_t index = 1; index < N; ++index) {
    if (ranges[index].start.value() < end_of(ranges[index - 1])) {
      return false;
    }
  }
  return true;
}

static_assert(ascending_and_disjoint(std::array{kBootGdt,
                                                kBootIdt,
                                                kPvhStartInfo,
                                                kPvhModules,
                                                kZeroPage,
                                                kBootStack,
                                                kPml4,
                                                kPdpt,
                                                kPageDirectory,
                                                kCommandLine,
                                                kSystemArea,
                                                kRsdp,
                                                GuestRange{GuestAddress(kKernelMinimum), kLowRamEnd - kKernelMinimum},
                                                kBootTimer,
                                                kMmioWindow,
                                                kPciConfigWindow,
                                                kIoApic,
                                                kLocalApic,
                                                kKvmTss,
                                                GuestRange{GuestAddress(kHighRamStart), kHighRamEnd - kHighRamStart}}));
static_assert(mmio_slot_address(kMaxMmioDevices) <= end_of(kMmioWindow));
static_assert(kSystemArea.start.value() < kVmClock.start.value() && end_of(kVmClock) <= kPairId.start.value() &&
              end_of(kPairId) == kVmGenId.start.value() && end_of(kVmGenId) <= end_of(kSystemArea));

}  // namespace layout_check
}  // namespace wisp::arch
