// Firmware tables in the making: append packed structures, then fix the checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "vmm/memory/guest_pod.h"

namespace wisp::arch {

using ByteTable = std::vector<std::byte>;

/// A structure of Le integers and byte arrays.
template <typename T>
concept PackedStruct = alignof(T) == 1 && std::has_unique_object_representations_v<T>&& std::is_trivially_copyable_v<T>;

template <PackedStruct T>
void append(ByteTable& table, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  table.insert(table.end(), bytes.begin(), bytes.end());
}

template <PackedStruct T>
void overwrite(ByteTable& table, std::size_t offset, const T& value) {
  std::memcpy(std::span(table).subspan(offset, sizeof(T)).data(), &value, sizeof(T));
}

/// The byte that makes the sum of `bytes` and itself zero.
constexpr std::uint8_t checksum_of(std::span<const std::byte> bytes) {
  std::uint8_t sum = 0;
  for (const std::byte byte : bytes) {
    sum = static_cast<std::uint8_t>(sum + std::to_integer<std::uint8_t>(byte));
  }
  return static_cast<std::uint8_t>(0U - sum);
}

}  // namespace wisp::arch
