// A fuzzer's bytes, taken from the front; zeros when they run out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/base/log.h"

namespace wisp::fakes {

class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}

  bool empty() const { return bytes_.empty(); }
  std::uint64_t take(std::size_t width) {
    std::uint64_t value = 0;
    const std::size_t count = std::min(width, bytes_.size());
    for (std::size_t index = 0; index < count; ++index) {
      value |= std::uint64_t{bytes_[index]} << (8 * index);
    }
    bytes_ = bytes_.subspan(count);
    return value;
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(take(1)); }
  std::uint16_t word() { return static_cast<std::uint16_t>(take(2)); }
  std::uint32_t dword() { return static_cast<std::uint32_t>(take(4)); }
  std::span<const std::byte> rest(std::size_t limit) const {
    return std::as_bytes(bytes_.first(std::min(limit, bytes_.size())));
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// A fuzzer's guests complain a lot.
inline void silence_log() {
  log::configure({0, false, false, {}});
}

}  // namespace wisp::fakes
