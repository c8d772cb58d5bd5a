// GuestAddress: a guest physical address. It has no operators, so it cannot wrap silently or be mixed with host
// pointers and offsets; arithmetic is by name and checked.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

#include "vmm/base/checked.h"

namespace wisp {

class GuestAddress {
 public:
  constexpr GuestAddress() = default;
  constexpr explicit GuestAddress(std::uint64_t value) : value_(value) {}

  constexpr std::uint64_t value() const { return value_; }

  [[nodiscard]] constexpr std::optional<GuestAddress> checked_add(std::uint64_t offset) const {
    const auto sum = wisp::checked_add(value_, offset);
    return sum ? std::optional(GuestAddress(*sum)) : std::nullopt;
  }
  /// Distance from `base` in bytes; empty when this address lies below it.
  [[nodiscard]] constexpr std::optional<std::uint64_t> offset_from(GuestAddress base) const {
    return value_ < base.value_ ? std::nullopt : std::optional(value_ - base.value_);
  }
  /// `power_of_two` divides the address.
  [[nodiscard]] constexpr bool is_aligned(std::uint64_t power_of_two) const {
    return (value_ & (power_of_two - 1)) == 0;
  }

  friend constexpr auto operator<=>(GuestAddress, GuestAddress) = default;

 private:
  std::uint64_t value_ = 0;
};

}  // namespace wisp
