#include "vmm/legacy/power_control.h"

#include <array>
#include <catch2/catch.hpp>

namespace wisp {
namespace {

constexpr std::uint8_t kSoftOff = 5;

struct Rig {
  int power_offs = 0;
  PowerControl control{kSoftOff, [this] { ++power_offs; }};

  void write(std::uint64_t offset, std::uint8_t value) {
    const std::array data = {std::byte{value}};
    control.write(offset, data);
  }
};

}  // namespace

TEST_CASE("sleep enable with the soft-off type switches the machine off") {
  Rig rig;
  rig.write(0, 0x20 | (kSoftOff << 2));
  CHECK(rig.power_offs == 1);
  rig.write(0, 0x20 | (kSoftOff << 2));
  CHECK(rig.power_offs == 1);
}

TEST_CASE("other types, a missing enable bit and other registers do nothing") {
  Rig rig;
  rig.write(0, 0x20 | (3 << 2));
  rig.write(0, kSoftOff << 2);
  rig.write(1, 0x20 | (kSoftOff << 2));
  CHECK(rig.power_offs == 0);
}

TEST_CASE("wide writes are not decoded") {
  Rig rig;
  const std::array<std::byte, 2> wide = {std::byte{0x34}, std::byte{0}};
  rig.control.write(0, wide);
  CHECK(rig.power_offs == 0);
}

TEST_CASE("both registers read as zero") {
  Rig rig;
  std::array<std::byte, 2> data{};
  rig.control.read(0, data);
  CHECK(data[0] == std::byte{0});
  CHECK(data[1] == std::byte{0});
}

}  // namespace wisp
