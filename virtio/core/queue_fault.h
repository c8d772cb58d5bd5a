// What a driver can do wrong with a queue, and who pays for it.
//
//   QueueFault    the ring itself cannot be trusted: no one knows which buffers are whose. The queue stops for good and
//   the
//                 device asks for a reset (DEVICE_NEEDS_RESET, virtio 1.2 section 2.1.2).
//   ChainDefect   the ring is sound, one request in it is not. That request is returned with an error; the queue goes
//   on.
//
// docs/virtio.md has the table of both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wisp {

enum class QueueFault : std::uint8_t {
  AvailIndexJump,         ///< more heads outstanding than the queue has, or the index went back
  HeadOutOfRange,         ///< a head that is not below the queue size
  HeadInFlight,           ///< a head that the device already works on
  NextOutOfRange,         ///< `next` that is not below the table's size
  ChainTooLong,           ///< a loop, or more descriptors than any queue has
  IndirectNotNegotiated,  ///< an indirect descriptor without VIRTIO_F_INDIRECT_DESC
  NestedIndirect,         ///< an indirect descriptor inside an indirect table (section 2.7.5.3.1)
  IndirectWithNext,       ///< INDIRECT and NEXT in one descriptor (section 2.7.5.3.1)
  IndirectTableLength,    ///< zero, or not a multiple of 16
};
inline constexpr std::size_t kQueueFaultCount = 9;

enum class ChainDefect : std::uint8_t {
  None,
  BufferOutsideMemory,         ///< a buffer that is not wholly inside one memory region
  IndirectTableOutsideMemory,  ///< likewise the indirect table
  ReadableAfterWritable,       ///< section 2.7.4.2: all readable buffers come first
  TotalTooLong,                ///< buffers add up to 2^32 bytes or more (section 2.7.5.2)
  TooManySegments,             ///< more buffers than kMaxSegments, which devices advertise
};
inline constexpr std::size_t kChainDefectCount = 6;

constexpr const char* queue_fault_name(QueueFault fault) {
  constexpr std::array<const char*, kQueueFaultCount> kNames = {
      "available index jumped", "head out of range",
      "head already in flight", "next out of range",
      "chain too long",         "indirect descriptor not negotiated",
      "nested indirect table",  "indirect descriptor chained",
      "indirect table length",
  };
  return kNames[static_cast<std::size_t>(fault)];
}

constexpr const char* chain_defect_name(ChainDefect defect) {
  constexpr std::array<const char*, kChainDefectCount> kNames = {
      "none",           "buffer outside memory", "indirect table outside memory", "readable after writable",
      "total too long", "too many segments",
  };
  return kNames[static_cast<std::size_t>(defect)];
}

}  // namespace wisp
