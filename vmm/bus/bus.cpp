#include "vmm/bus/bus.h"

#include <algorithm>

#include "vmm/base/checked.h"

namespace wisp {

Status Bus::add(std::uint64_t start, std::uint64_t size_bytes, BusDevice& device) {
  const auto end = checked_add(start, size_bytes);
  if (size_bytes == 0 || !end) {
    return Error(ErrorCode::Internal, "a bus range is empty or wraps");
  }
  const auto next = std::lower_bound(entries_.begin(), entries_.end(), start,
                                     [](const Entry& entry, std::uint64_t address) { return entry.start < address; });
  const bool hits_next = next != entries_.end() && next->start < *end;
  const bool hits_previous = next != entries_.begin() && (next - 1)->start + (next - 1)->size_bytes > start;
  if (hits_next || hits_previous) {
    return Error(ErrorCode::Internal, "two devices claim the same bus range");
  }
  entries_.insert(next, Entry{start, size_bytes, &device});
  return {};
}

const Bus::Entry* Bus::find(std::uint64_t address, std::size_t size_bytes) const {
  const auto after = std::upper_bound(entries_.begin(), entries_.end(), address,
                                      [](std::uint64_t value, const Entry& entry) { return value < entry.start; });
  if (after == entries_.begin()) {
    return nullptr;
  }
  const Entry& entry = *(after - 1);
  return range_fits(address - entry.start, size_bytes, entry.size_bytes) ? &entry : nullptr;
}

bool Bus::read(std::uint64_t address, std::span<std::byte> data) const {
  std::fill(data.begin(), data.end(), std::byte{0});
  const Entry* entry = find(address, data.size());
  if (entry == nullptr) {
    return false;
  }
  entry->device->read(address - entry->start, data);
  return true;
}

bool Bus::write(std::uint64_t address, std::span<const std::byte> data) const {
  const Entry* entry = find(address, data.size());
  if (entry == nullptr) {
    return false;
  }
  entry->device->write(address - entry->start, data);
  return true;
}

}  // namespace wisp
