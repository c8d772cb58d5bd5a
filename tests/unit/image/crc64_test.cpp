#include "snapshot/image/crc64.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace wisp {
namespace {

std::uint64_t crc_of(const std::string& text) {
  return crc64(std::as_bytes(std::span(text)));
}

/// The definition, bit by bit.
std::uint64_t slow_crc(std::span<const std::byte> data) {
  std::uint64_t crc = ~std::uint64_t{0};
  for (const std::byte each : data) {
    crc ^= std::to_integer<std::uint64_t>(each);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xC96C5795D7870F42ULL : 0);
    }
  }
  return ~crc;
}

TEST_CASE("The check value of CRC-64/XZ comes out, and zero for nothing") {
  CHECK(crc_of("123456789") == 0x995DC9BBDF1939FAULL);
  CHECK(crc_of("") == 0);
}

TEST_CASE("Eight bytes at a time give what bit by bit gives, for every length and start") {
  std::vector<std::byte> bytes(70);
  for (std::size_t index = 0; index < bytes.size(); ++index) {
    bytes[index] = static_cast<std::byte>(index * 37 + 11);
  }
  for (std::size_t start = 0; start < 9; ++start) {
    for (std::size_t length = 0; start + length <= bytes.size(); ++length) {
      const auto part = std::span(bytes).subspan(start, length);
      REQUIRE(crc64(part) == slow_crc(part));
    }
  }
}

}  // namespace
}  // namespace wisp
