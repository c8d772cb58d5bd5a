// Bus: routes the guest's port or memory-mapped accesses to devices.
//
// The table is built before the first vCPU runs and never changes afterwards, so look-ups need no lock. Ranges do not
// overlap (add() refuses that). An access that no range holds whole is nobody's: a read gives zeros, a write is
// dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/base/result.h"

namespace wisp {

/// A device as the bus sees it. Called on vCPU threads, concurrently; `offset` is relative to the device's range and
/// offset + size lies inside it. Any size from 1 to 8 bytes and any alignment may come.
class BusDevice {
 public:
  virtual ~BusDevice() = default;
  /// Fills all of `data` (which comes zeroed).
  virtual void read(std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
};

class Bus {
 public:
  /// Routes [start, start + size_bytes) to `device`, which must outlive the bus.
  Status add(std::uint64_t start, std::uint64_t size_bytes, BusDevice& device);

  /// False when no device claims the whole access; `data` is then all zeros.
  bool read(std::uint64_t address, std::span<std::byte> data) const;
  bool write(std::uint64_t address, std::span<const std::byte> data) const;

 private:
  struct Entry {
    std::uint64_t start;
    std::uint64_t size_bytes;
    BusDevice* device;
  };
  const Entry* find(std::uint64_t address, std::size_t size_bytes) const;

  std::vector<Entry> entries_;  // sorted by start
};

}  // namespace wisp
