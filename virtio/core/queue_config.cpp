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
  parts = {static_cast<std::uint16_t>(size_), *table, *available_ring, *used_ring, {descriptors, available, used}};
  return QueueConfigDefect::None;
}

QueueConfigDefect QueueConfig::make_ready(const GuestMemory& memory) {
  RingParts parts;
  const QueueConfigDefect defect = check(memory, parts);
  ready_ = defect == QueueConfigDefect::None;
  return defect;
}

void QueueConfig::save(StateWriter& out) const {
  out.u32(size_);
  for (const std::uint64_t address : addresses_) {
    out.u64(address);
  }
  out.boolean(ready_);
}

Status QueueConfig::restore(StateReader& in, const GuestMemory& memory) {
  ready_ = false;
  size_ = in.u32();
  for (std::uint64_t& address : addresses_) {
    address = in.u64();
  }
  if (in.boolean()) {
    return in.check(make_ready(memory) == QueueConfigDefect::None, "a queue has a size or address that cannot be");
  }
  return in.check(true, "");
}

std::optional<VirtQueue> QueueConfig::activate(const GuestMemory& memory, std::uint64_t negotiated_features) const {
  RingParts parts;
  if (!ready_ || check(memory, parts) != QueueConfigDefect::None) {
    return std::nullopt;
  }
  return VirtQueue(memory, parts, negotiated_features);
}

}  // namespace wisp
