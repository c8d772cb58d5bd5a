#include "vmm/base/checked.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "vmm/base/endian.h"

namespace wisp {
namespace {

constexpr std::uint64_t kMax = ~std::uint64_t{0};

TEST_CASE("Sums and products that would wrap are nothing") {
  CHECK(checked_add(kMax - 1, std::uint64_t{1}) == kMax);
  CHECK_FALSE(checked_add(kMax, std::uint64_t{1}).has_value());
  CHECK(checked_mul(std::uint64_t{1} << 32, (std::uint64_t{1} << 32) - 1).has_value());
  CHECK_FALSE(checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32).has_value());
  CHECK_FALSE(checked_add(std::uint16_t{65535}, std::uint16_t{1}).has_value());
}

TEST_CASE("A range fits up to the limit and not one byte further, whatever its numbers") {
  CHECK(range_fits(0, 10, 10));
  CHECK_FALSE(range_fits(0, 11, 10));
  CHECK(range_fits(10, 0, 10));
  CHECK_FALSE(range_fits(11, 0, 10));
  CHECK_FALSE(range_fits(1, kMax, 10));
  CHECK_FALSE(range_fits(kMax, 1, 10));
  CHECK(range_fits(0, kMax, kMax));
}

TEST_CASE("Aligning down never goes up") {
  CHECK(align_down(0x1fff, 0x1000) == 0x1000);
  CHECK(align_down(0x1000, 0x1000) == 0x1000);
  CHECK(align_down(kMax, 2) == kMax - 1);
}

TEST_CASE("Little-endian integers have their lowest byte first and give back what was put in") {
  const Le32 value(0x12345678U);
  const unsigned char expected[] = {0x78, 0x56, 0x34, 0x12};
  CHECK(std::memcmp(&value, expected, sizeof(expected)) == 0);
  CHECK(value.get() == 0x12345678U);
  CHECK(Le16(std::uint16_t{0xffee}).get() == 0xffee);
  CHECK(Le64(0x0102030405060708ULL).get() == 0x0102030405060708ULL);
  CHECK(Le64().get() == 0);
}

}  // namespace
}  // namespace wisp
