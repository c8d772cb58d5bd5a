// Arithmetic that cannot wrap, and the one range check.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace wisp {

template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T left, T right) {
  T sum = 0;
  if (__builtin_add_overflow(left, right, &sum)) {
    return std::nullopt;
  }
  return sum;
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T left, T right) {
  T product = 0;
  if (__builtin_mul_overflow(left, right, &product)) {
    return std::nullopt;
  }
  return product;
}

/// Does [offset, offset + length) lie inside [0, limit)? True for an empty range that starts at or before the limit.
[[nodiscard]] constexpr bool range_fits(std::uint64_t offset, std::uint64_t length, std::uint64_t limit) {
  return offset <= limit && length <= limit - offset;
}

[[nodiscard]] constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t power_of_two) {
  return value & ~(power_of_two - 1);
}

}  // namespace wisp
