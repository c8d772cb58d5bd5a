#include "virtio/core/queue_config.h"

#include <bit>

#include "virtio/core/ring_layout.h"

namespace wisp {
namespace {

constexpr std::uint64_t kLowHalfMask = 0xffff'ffff;
constexpr unsigned kHighHalfShift = 32;

}  // namespace

void QueueConfig::set_size(std::uint32_t size) {
  if (!ready_) {
    size_ = size;
  }
}

void QueueConfig::set_address(QueuePart part, AddressHalf half, std::uint32_t value) {
  if (ready_) {
    return;
  }
  std::uint64_t& address = addresses_[static_cast<std::size_t>(part)];
  address = half == AddressHalf::Low ? (address & ~kLowHalfMask) | value
                                     : (address & kLowHalfMask) | (std::uint64_t{value} << kHighHalfShift);
}

QueueConfigDefect QueueConfig::check(const GuestMemory& memory, RingParts& parts) const {
  if (size_ > largest_size_ || !std::has_single_bit(size_)) {
    return QueueConfigDefect::Size;
  }
  const GuestAddress descriptors = address(QueuePart::DescriptorTable);
  const GuestAddress available = address(QueuePart::AvailableRing);
  const GuestAddress used = address(QueuePart::UsedRing);
  if (!descriptors.is_aligned(ring::kDescriptorTableAlignment) ||
      !available.is_aligned(ring::kAvailableRingAlignment) || !used.is_aligned(ring::kUsedRingAlignment)) {
    return QueueConfigDefect::Alignment;
  }
  const auto table = memory.readable(descriptors, ring::descriptor_table_bytes(size_));
  const auto available_ring = memory.readable(available, ring::available_ring_bytes(size_));
  const auto used_ring = memory.writable(used, ring::used_ring_bytes(size_));
  if (!table || !available_ring || !used_ring) {
    return QueueConfigDefect::OutsideMemory;
  }
  parts = {static_cast<std::uint16_t>(size_), *table, *available_ring, *used_ring};
  return QueueConfigDefect::None;
}

QueueConfigDefect QueueConfig::make_ready(const GuestMemory& memory) {
  RingParts parts;
  const QueueConfigDefect defect = check(memory, parts);
  ready_ = defect == QueueConfigDefect::None;
  return defect;
}

std::optional<VirtQueue> QueueConfig::activate(const GuestMemory& memory, std::uint64_t negotiated_features) const {
  RingParts parts;
  if (!ready_ || check(memory, parts) != QueueConfigDefect::None) {
    return std::nullopt;
  }
  return VirtQueue(memory, parts, negotiated_features);
}

}  // namespace wisp
