#include "snapshot/image/crc64.h"

#include <array>

namespace wisp {
namespace {

constexpr std::uint64_t kReflectedPolynomial = 0xC96C5795D7870F42ULL;
constexpr std::size_t kSlices = 8;

using Table = std::array<std::array<std::uint64_t, 256>, kSlices>;

/// tables[s][b]: what byte b contributes when s more bytes follow it in the same step.
constexpr Table make_tables() {
  Table tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1U) ^ ((value & 1U) != 0 ? kReflectedPolynomial : 0);
    }
    tables[0][byte] = value;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8U) ^ tables[0][before & 0xffU];
    }
  }
  return tables;
}

constexpr Table kTables = make_tables();

}  // namespace

std::uint64_t crc64(std::span<const std::byte> data) {
  std::uint64_t crc = ~std::uint64_t{0};
  for (; data.size() >= kSlices; data = data.subspan(kSlices)) {
    std::uint64_t next = 0;
    for (std::size_t index = 0; index < kSlices; ++index) {
      const auto byte = (crc >> (8 * index)) & 0xffU;
      next ^= kTables[kSlices - 1 - index][byte ^ std::to_integer<std::uint64_t>(data[index])];
    }
    crc = next;
  }
  for (const std::byte each : data) {
    crc = (crc >> 8U) ^ kTables[0][(crc & 0xffU) ^ std::to_integer<std::uint64_t>(each)];
  }
  return ~crc;
}

}  // namespace wisp
