// Little-endian integers for wire structures (virtio 1.2 section 1.4: all fields are little-endian).
//
// A wire structure is built from Le16, Le32, Le64 and byte arrays only, has no padding, and states its size and the
// offsets that the specification names by static_assert.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace wisp {

template <typename T>
class Le {
 public:
  constexpr Le() = default;
  constexpr Le(T value) { set(value); }
  constexpr operator T() const { return get(); }
  constexpr T get() const {
    T value = 0;
    for (std::size_t index = sizeof(T); index-- > 0;) {
      value = static_cast<T>(static_cast<T>(value << (sizeof(T) > 1 ? 8U : 0U)) | bytes_[index]);
    }
    return value;
  }
  constexpr void set(T value) {
    for (auto& byte : bytes_) {
      byte = static_cast<std::uint8_t>(value & 0xffU);
      value = static_cast<T>(value >> 8U);
    }
  }

 private:
  std::array<std::uint8_t, sizeof(T)> bytes_{};
};

using Le16 = Le<std::uint16_t>;
using Le32 = Le<std::uint32_t>;
using Le64 = Le<std::uint64_t>;

static_assert(sizeof(Le64) == 8 && alignof(Le64) == 1);

}  // namespace wisp
