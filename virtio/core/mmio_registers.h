// The registers of a virtio-MMIO device as a table: offset, name, direction (virtio 1.2 section 4.2.2, "MMIO Device
// Register Layout"). What a register does is the transport's business. QueueReset (0xc0) belongs to a feature that is
// not offered.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace wisp {

enum class MmioRegisterId : std::uint8_t {
  Magic,
  Version,
  DeviceId,
  Vendor,
  DeviceFeatures,
  DeviceFeaturesSelect,
  DriverFeatures,
  DriverFeaturesSelect,
  QueueSelect,
  QueueNumMax,
  QueueNum,
  QueueReady,
  QueueNotify,
  InterruptStatus,
  InterruptAck,
  DeviceStatus,
  QueueDescLow,
  QueueDescHigh,
  QueueDriverLow,
  QueueDriverHigh,
  QueueDeviceLow,
  QueueDeviceHigh,
  SharedMemorySelect,
  SharedMemoryRange,
  ConfigGeneration,
};

enum class MmioRegisterAccess : std::uint8_t { Read, Write, ReadWrite };

struct MmioRegister {
  std::uint64_t offset;
  MmioRegisterId id;
  MmioRegisterAccess access;
  bool readable() const { return access != MmioRegisterAccess::Write; }
  bool writable() const { return access != MmioRegisterAccess::Read; }
};

inline constexpr std::array<MmioRegister, 28> kMmioRegisters = {{
    {0x000, MmioRegisterId::Magic, MmioRegisterAccess::Read},
    {0x004, MmioRegisterId::Version, MmioRegisterAccess::Read},
    {0x008, MmioRegisterId::DeviceId, MmioRegisterAccess::Read},
    {0x00c, MmioRegisterId::Vendor, MmioRegisterAccess::Read},
    {0x010, MmioRegisterId::DeviceFeatures, MmioRegisterAccess::Read},
    {0x014, MmioRegisterId::DeviceFeaturesSelect, MmioRegisterAccess::Write},
    {0x020, MmioRegisterId::DriverFeatures, MmioRegisterAccess::Write},
    {0x024, MmioRegisterId::DriverFeaturesSelect, MmioRegisterAccess::Write},
    {0x030, MmioRegisterId::QueueSelect, MmioRegisterAccess::Write},
    {0x034, MmioRegisterId::QueueNumMax, MmioRegisterAccess::Read},
    {0x038, MmioRegisterId::QueueNum, MmioRegisterAccess::Write},
    {0x044, MmioRegisterId::QueueReady, MmioRegisterAccess::ReadWrite},
    {0x050, MmioRegisterId::QueueNotify, MmioRegisterAccess::Write},
    {0x060, MmioRegisterId::InterruptStatus, MmioRegisterAccess::Read},
    {0x064, MmioRegisterId::InterruptAck, MmioRegisterAccess::Write},
    {0x070, MmioRegisterId::DeviceStatus, MmioRegisterAccess::ReadWrite},
    {0x080, MmioRegisterId::QueueDescLow, MmioRegisterAccess::Write},
    {0x084, MmioRegisterId::QueueDescHigh, MmioRegisterAccess::Write},
    {0x090, MmioRegisterId::QueueDriverLow, MmioRegisterAccess::Write},
    {0x094, MmioRegisterId::QueueDriverHigh, MmioRegisterAccess::Write},
    {0x0a0, MmioRegisterId::QueueDeviceLow, MmioRegisterAccess::Write},
    {0x0a4, MmioRegisterId::QueueDeviceHigh, MmioRegisterAccess::Write},
    {0x0ac, MmioRegisterId::SharedMemorySelect, MmioRegisterAccess::Write},
    {0x0b0, MmioRegisterId::SharedMemoryRange, MmioRegisterAccess::Read},
    {0x0b4, MmioRegisterId::SharedMemoryRange, MmioRegisterAccess::Read},
    {0x0b8, MmioRegisterId::SharedMemoryRange, MmioRegisterAccess::Read},
    {0x0bc, MmioRegisterId::SharedMemoryRange, MmioRegisterAccess::Read},
    {0x0fc, MmioRegisterId::ConfigGeneration, MmioRegisterAccess::Read},
}};

/// The register that begins at `offset`; nothing when there is none.
constexpr const MmioRegister* find_mmio_register(std::uint64_t offset) {
  const auto* found = std::ranges::find(kMmioRegisters, offset, &MmioRegister::offset);
  return found == kMmioRegisters.end() ? nullptr : found;
}

}  // namespace wisp
