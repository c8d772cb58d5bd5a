// The guest's side of memory: plain bytes at plain addresses, for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/base/assert.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::fakes {

inline constexpr std::uint64_t kLowStart = 0x10000;
inline constexpr std::uint64_t kLowBytes = 0x40000;  // [0x10000, 0x50000)
inline constexpr std::uint64_t kHighStart = 0x80000;
inline constexpr std::uint64_t kHighBytes = 0x20000;  // [0x80000, 0xa0000)

/// Two regions with holes before, between and behind them.
inline GuestMemory make_memory() {
  const GuestRange ranges[] = {{GuestAddress(kLowStart), kLowBytes}, {GuestAddress(kHighStart), kHighBytes}};
  auto memory = GuestMemory::create(ranges, PageBacking::Normal);
  WISP_ASSERT(memory.ok());
  return std::move(memory).value();
}

/// Reads and writes as the guest's processor does: little-endian, anywhere.
class GuestView {
 public:
  explicit GuestView(const GuestMemory& memory) : memory_(&memory) {}

  void put(std::uint64_t address, std::uint64_t value, std::size_t width) const {
    std::byte bytes[8];
    for (std::size_t index = 0; index < width; ++index) {
      bytes[index] = static_cast<std::byte>(value >> (8 * index));
    }
    WISP_ASSERT(memory_->write_bytes(GuestAddress(address), {bytes, width}));
  }
  std::uint64_t get(std::uint64_t address, std::size_t width) const {
    std::uint64_t value = 0;
    const std::vector<std::byte> copy = bytes(address, width);
    for (std::size_t index = width; index-- > 0;) {
      value = (value << 8U) | static_cast<std::uint64_t>(copy[index]);
    }
    return value;
  }
  void fill(std::uint64_t address, std::size_t count, std::uint8_t value) const {
    const std::vector<std::byte> source(count, static_cast<std::byte>(value));
    WISP_ASSERT(count == 0 || memory_->write_bytes(GuestAddress(address), source));
  }
  void put_bytes(std::uint64_t address, std::span<const std::byte> source) const {
    WISP_ASSERT(source.empty() || memory_->write_bytes(GuestAddress(address), source));
  }
  std::vector<std::byte> bytes(std::uint64_t address, std::size_t count) const {
    std::vector<std::byte> copy(count);
    const auto slice = memory_->readable(GuestAddress(address), count);
    WISP_ASSERT(slice.has_value());
    slice->copy_to(copy);
    return copy;
  }
  bool holds(std::uint64_t address, std::size_t count, std::uint8_t value) const {
    return bytes(address, count) == std::vector<std::byte>(count, static_cast<std::byte>(value));
  }
  /// All of guest memory, to compare before and after.
  std::vector<std::byte> image() const {
    std::vector<std::byte> all;
    for (std::size_t index = 0; index < memory_->region_count(); ++index) {
      const GuestRange range = memory_->region_range(index);
      const auto part = bytes(range.start.value(), range.size_bytes);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  const GuestMemory& memory() const { return *memory_; }

 private:
  const GuestMemory* memory_;
};

}  // namespace wisp::fakes
