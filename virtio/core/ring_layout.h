// The split virtqueue as it lies in guest memory (virtio 1.2 section 2.7).
//
//   descriptor table   16 bytes each: address, length, flags, next               driver writes, device reads
//   available ring     flags, idx, ring[size] of heads, used_event               driver writes, device reads
//   used ring          flags, idx, ring[size] of {id, length}, avail_event       device writes, driver reads
//
// idx counts up for ever and wraps at 2^16; the slot is idx modulo the queue size, which is a power of two.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vmm/base/endian.h"
#include "vmm/memory/guest_pod.h"

namespace wisp {

struct VirtqDescriptor {
  Le64 address;
  Le32 length;
  Le16 flags;
  Le16 next;
};
static_assert(sizeof(VirtqDescriptor) == 16);
static_assert(offsetof(VirtqDescriptor, length) == 8 && offsetof(VirtqDescriptor, flags) == 12);
static_assert(offsetof(VirtqDescriptor, next) == 14);

struct VirtqUsedElement {
  Le32 id;
  Le32 length;
};
static_assert(sizeof(VirtqUsedElement) == 8 && offsetof(VirtqUsedElement, length) == 4);

template <>
inline constexpr bool kIsGuestPod<VirtqDescriptor> = true;
template <>
inline constexpr bool kIsGuestPod<VirtqUsedElement> = true;

namespace ring {

inline constexpr std::uint16_t kDescriptorNext = 1;
inline constexpr std::uint16_t kDescriptorWrite = 2;
inline constexpr std::uint16_t kDescriptorIndirect = 4;

inline constexpr std::uint16_t kAvailableNoInterrupt = 1;
inline constexpr std::uint16_t kUsedNoNotify = 1;

inline constexpr std::uint64_t kDescriptorTableAlignment = 16;
inline constexpr std::uint64_t kAvailableRingAlignment = 2;
inline constexpr std::uint64_t kUsedRingAlignment = 4;

inline constexpr std::size_t kFlagsOffset = 0;
inline constexpr std::size_t kIndexOffset = 2;
inline constexpr std::size_t kEntriesOffset = 4;

constexpr std::size_t descriptor_table_bytes(std::size_t size) {
  return size * sizeof(VirtqDescriptor);
}
/// Both rings end with the two bytes of the other side's event index, whether or not EVENT_IDX is negotiated.
constexpr std::size_t available_ring_bytes(std::size_t size) {
  return kEntriesOffset + size * 2 + 2;
}
constexpr std::size_t used_ring_bytes(std::size_t size) {
  return kEntriesOffset + size * sizeof(VirtqUsedElement) + 2;
}
constexpr std::size_t used_event_offset(std::size_t size) {
  return kEntriesOffset + size * 2;
}
constexpr std::size_t avail_event_offset(std::size_t size) {
  return kEntriesOffset + size * sizeof(VirtqUsedElement);
}

}  // namespace ring

/// Feature bits of every device (virtio 1.2 section 6).
namespace feature {

inline constexpr std::uint64_t kIndirectDescriptors = std::uint64_t{1} << 28U;
inline constexpr std::uint64_t kEventIndex = std::uint64_t{1} << 29U;
inline constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32U;

}  // namespace feature

/// Bits of the interrupt status register (virtio 1.2 section 4.2.2).
inline constexpr std::uint32_t kInterruptUsedRing = 1;
inline constexpr std::uint32_t kInterruptConfiguration = 2;

}  // namespace wisp
