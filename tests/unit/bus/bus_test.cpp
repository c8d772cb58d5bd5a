#include "vmm/bus/bus.h"

#include <catch2/catch.hpp>
#include <string>

namespace wisp {
namespace {

/// Remembers what it was asked and answers with its name.
class Recorder final : public BusDevice {
 public:
  explicit Recorder(char name) : name_(name) {}
  void read(std::uint64_t offset, std::span<std::byte> data) override {
    offsets.push_back(offset);
    std::fill(data.begin(), data.end(), static_cast<std::byte>(name_));
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    offsets.push_back(offset);
    for (const std::byte byte : data) {
      written.push_back(static_cast<char>(byte));
    }
  }
  std::vector<std::uint64_t> offsets;
  std::string written;

 private:
  char name_;
};

constexpr std::uint64_t kMax = ~std::uint64_t{0};

/// What a read of `size` bytes gives; the buffer holds rubbish before.
std::string read(const Bus& bus, std::uint64_t address, std::size_t size, bool claimed = true) {
  std::string data(size, '?');
  CHECK(bus.read(address, std::as_writable_bytes(std::span(data))) == claimed);
  return data;
}

TEST_CASE("An access goes to the device of its range, with an offset into it") {
  Bus bus;
  Recorder first('a');
  Recorder second('b');
  REQUIRE(bus.add(0x100, 0x10, first).ok());
  REQUIRE(bus.add(0x110, 0x10, second).ok());

  CHECK(read(bus, 0x100, 4) == "aaaa");
  CHECK(read(bus, 0x10f, 1) == "a");
  CHECK(read(bus, 0x110, 8) == "bbbbbbbb");
  const std::string text = "xy";
  CHECK(bus.write(0x11e, std::as_bytes(std::span(text))));

  CHECK(first.offsets == std::vector<std::uint64_t>{0, 0xf});
  CHECK(second.offsets == std::vector<std::uint64_t>{0, 0xe});
  CHECK(second.written == "xy");
}

TEST_CASE("Nobody's reads give zeros, nobody's writes are dropped") {
  Bus bus;
  CHECK(read(bus, 0, 4, false) == std::string(4, '\0'));
  Recorder device('a');
  REQUIRE(bus.add(0x100, 0x10, device).ok());
  const std::string text = "xy";
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{0xff}, std::uint64_t{0x110}, kMax}) {
    CAPTURE(address);
    CHECK(read(bus, address, 1, false) == std::string(1, '\0'));
    CHECK_FALSE(bus.write(address, std::as_bytes(std::span(text))));
  }
  CHECK(device.offsets.empty());
}

TEST_CASE("An access across the end of a range is nobody's, also where another range begins") {
  Bus bus;
  Recorder first('a');
  Recorder second('b');
  REQUIRE(bus.add(0x100, 0x10, first).ok());
  REQUIRE(bus.add(0x110, 0x10, second).ok());
  CHECK(read(bus, 0x10e, 4, false) == std::string(4, '\0'));
  CHECK(read(bus, 0x11d, 4, false) == std::string(4, '\0'));
  CHECK(read(bus, 0xff, 2, false) == std::string(2, '\0'));
  const std::string text = "wxyz";
  CHECK_FALSE(bus.write(0x10e, std::as_bytes(std::span(text))));
  CHECK(first.offsets.empty());
  CHECK(second.offsets.empty());
}

TEST_CASE("Overlapping, empty and wrapping ranges are refused and change nothing") {
  Bus bus;
  Recorder device('a');
  Recorder other('b');
  REQUIRE(bus.add(0x100, 0x10, device).ok());
  struct Range {
    std::uint64_t start;
    std::uint64_t size;
  };
  const Range bad[] = {{0x100, 0x10}, {0xff, 2},  {0x10f, 1}, {0x104, 4},
                       {0x80, 0x100}, {0x200, 0}, {kMax, 2},  {1, kMax}};
  for (const Range& range : bad) {
    CAPTURE(range.start, range.size);
    CHECK_FALSE(bus.add(range.start, range.size, other).ok());
  }
  CHECK(read(bus, 0x100, 1) == "a");
  CHECK(read(bus, 0x104, 1) == "a");
  CHECK(read(bus, 0x200, 1, false) == std::string(1, '\0'));
  CHECK(other.offsets.empty());
}

TEST_CASE("Ranges may be added in any order") {
  Bus bus;
  std::vector<std::unique_ptr<Recorder>> devices;
  for (const std::uint64_t start : {0x300U, 0x100U, 0x500U, 0x200U, 0x400U}) {
    devices.push_back(std::make_unique<Recorder>(static_cast<char>('0' + start / 0x100)));
    REQUIRE(bus.add(start, 0x100, *devices.back()).ok());
  }
  for (std::uint64_t start = 0x100; start <= 0x500; start += 0x100) {
    CHECK(read(bus, start + 0x80, 1) == std::string(1, static_cast<char>('0' + start / 0x100)));
  }
}

}  // namespace
}  // namespace wisp
