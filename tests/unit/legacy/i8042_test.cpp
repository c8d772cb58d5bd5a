#include "vmm/legacy/i8042.h"

#include <catch2/catch.hpp>
#include <string>

namespace wisp {
namespace {

constexpr std::uint64_t kData = 0;
constexpr std::uint64_t kCommand = 4;
using Bytes = std::vector<int>;

class Controller {
 public:
  int in(std::uint64_t offset) {
    std::byte value{};
    device->read(offset, std::span(&value, 1));
    return std::to_integer<int>(value);
  }
  void out(std::uint64_t offset, int value) {
    const std::byte byte{static_cast<unsigned char>(value)};
    device->write(offset, std::span(&byte, 1));
  }
  bool output_full() { return (in(kCommand)&1) != 0; }
  Bytes answers() {
    Bytes bytes;
    while (output_full()) {
      bytes.push_back(in(kData));
    }
    return bytes;
  }
  bool interrupted() const { return device->interrupt().drain() > 0; }

  int resets = 0;
  std::unique_ptr<I8042> device = I8042::create([this] { ++resets; }).value();
};

TEST_CASE("After reset the buffer is empty and the keyboard is unlocked") {
  Controller controller;
  CHECK(controller.in(kCommand) == 0x14);
  CHECK(controller.in(kData) == 0);
  CHECK_FALSE(controller.interrupted());
}

TEST_CASE("The control byte reads back as it was written") {
  Controller controller;
  controller.out(kCommand, 0x20);
  CHECK(controller.answers() == Bytes{0x05});
  controller.out(kCommand, 0x60);
  controller.out(kData, 0x74);
  controller.out(kCommand, 0x20);
  CHECK(controller.answers() == Bytes{0x74});
}

TEST_CASE("Self-tests pass and the output port reads back") {
  Controller controller;
  controller.out(kCommand, 0xaa);
  controller.out(kCommand, 0xab);
  CHECK(controller.answers() == Bytes{0x55, 0x00});
  controller.out(kCommand, 0xd1);
  controller.out(kData, 0xdf);
  controller.out(kCommand, 0xd0);
  CHECK(controller.answers() == Bytes{0xdf});
}

TEST_CASE("The keyboard acknowledges everything, identifies itself and survives a reset") {
  Controller controller;
  controller.out(kData, 0xed);
  controller.out(kData, 0x00);
  CHECK(controller.answers() == Bytes{0xfa, 0xfa});
  controller.out(kData, 0xf2);
  CHECK(controller.answers() == Bytes{0xfa, 0xab, 0x83});
  controller.out(kData, 0xff);
  CHECK(controller.answers() == Bytes{0xfa, 0xaa});
  controller.out(kData, 0xee);
  CHECK(controller.answers() == Bytes{0xee});
}

TEST_CASE("A byte for the mouse reaches nobody, a byte for the output buffer comes back") {
  Controller controller;
  controller.out(kCommand, 0xd4);
  controller.out(kData, 0xff);
  CHECK(controller.answers().empty());
  controller.out(kCommand, 0xd3);
  controller.out(kData, 0x5a);
  CHECK(controller.answers().empty());
  controller.out(kCommand, 0xd2);
  controller.out(kData, 0x5a);
  CHECK(controller.answers() == Bytes{0x5a});
  controller.out(kData, 0xf4);
  CHECK(controller.answers() == Bytes{0xfa});
}

TEST_CASE("A new command takes the place of one that still waits for its byte") {
  Controller controller;
  controller.out(kCommand, 0x60);
  controller.out(kCommand, 0xaa);
  CHECK(controller.answers() == Bytes{0x55});
  controller.out(kData, 0x00);
  CHECK(controller.answers() == Bytes{0xfa});
}

TEST_CASE("The status tells whether the last byte was a command") {
  Controller controller;
  controller.out(kCommand, 0xa7);
  CHECK((controller.in(kCommand)&0x08) != 0);
  controller.out(kCommand, 0xd4);
  controller.out(kData, 0);
  CHECK((controller.in(kCommand)&0x08) == 0);
}

TEST_CASE("Each byte signals when it becomes readable") {
  Controller controller;
  controller.out(kData, 0xf2);
  CHECK(controller.interrupted());
  CHECK(controller.in(kData) == 0xfa);
  CHECK(controller.interrupted());
  CHECK(controller.in(kData) == 0xab);
  CHECK(controller.interrupted());
  CHECK(controller.in(kData) == 0x83);
  CHECK_FALSE(controller.interrupted());
}

TEST_CASE("Nothing signals while interrupts or the keyboard are off; turning them on signals for what waits") {
  Controller controller;
  SECTION("interrupts off in the control byte") {
    controller.out(kCommand, 0x60);
    controller.out(kData, 0x04);
    controller.out(kData, 0xf4);
    CHECK_FALSE(controller.interrupted());
    controller.out(kCommand, 0x60);
    controller.out(kData, 0x05);
  }
  SECTION("keyboard off by command") {
    controller.out(kCommand, 0xad);
    controller.out(kData, 0xf4);
    CHECK_FALSE(controller.interrupted());
    controller.out(kCommand, 0xae);
  }
  CHECK(controller.interrupted());
  CHECK(controller.answers() == Bytes{0xfa});
}

TEST_CASE("Ctrl-Alt-Del arrives as four bytes of scan code set 2, with an interrupt") {
  Controller controller;
  REQUIRE(controller.device->send_ctrl_alt_del().ok());
  CHECK(controller.interrupted());
  CHECK(controller.answers() == Bytes{0x14, 0x11, 0xe0, 0x71});
}

TEST_CASE("The fifth Ctrl-Alt-Del that nobody reads is refused whole, and works after one byte group is read") {
  Controller controller;
  for (int count = 0; count < 4; ++count) {
    CHECK(controller.device->send_ctrl_alt_del().ok());
  }
  const Status refused = controller.device->send_ctrl_alt_del();
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Catch::Matchers::Contains("keyboard buffer is full"));
  for (int count = 0; count < 3; ++count) {
    controller.in(kData);
    CHECK_FALSE(controller.device->send_ctrl_alt_del().ok());
  }
  controller.in(kData);
  CHECK(controller.device->send_ctrl_alt_del().ok());
  CHECK(controller.answers().size() == 16);
}

TEST_CASE("Answers that find the buffer full are lost and counted, and never grow it") {
  Controller controller;
  for (int count = 0; count < 100; ++count) {
    controller.out(kData, 0xf4);
  }
  CHECK(controller.device->metrics().error_count.total() == 84);
  CHECK(controller.answers() == Bytes(16, 0xfa));
}

TEST_CASE("The first reset command calls for a reset, and the controller may be used from within") {
  int resets = 0;
  I8042* inside = nullptr;
  const auto device = I8042::create([&] {
                        ++resets;
                        CHECK(inside->send_ctrl_alt_del().ok());  // would hang if our lock were held
                      }).value();
  inside = device.get();
  const std::byte command{0xfe};
  device->write(kCommand, std::span(&command, 1));
  device->write(kCommand, std::span(&command, 1));
  CHECK(resets == 1);
  CHECK(device->metrics().reset_count.total() == 2);
}

TEST_CASE("0xfe as data and other commands do not reset") {
  Controller controller;
  controller.out(kData, 0xfe);
  for (int command = 0; command < 0x100; ++command) {
    if (command != 0xfe) {
      controller.out(kCommand, command);
    }
  }
  CHECK(controller.resets == 0);
  controller.out(kCommand, 0xfe);
  CHECK(controller.resets == 1);
}

TEST_CASE("Other widths and the ports between read as zeros, change nothing and are counted") {
  Controller controller;
  controller.out(kData, 0xf4);
  const auto size = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{4});
  std::uint64_t tries = 0;
  for (std::uint64_t offset = 0; offset + size <= 5; ++offset) {
    if (size == 1 && (offset == kData || offset == kCommand)) {
      continue;
    }
    std::array<std::byte, 4> data{};
    controller.device->read(offset, std::span(data).first(size));
    CHECK(data == std::array<std::byte, 4>{});
    data.fill(std::byte{0xfe});
    controller.device->write(offset, std::span(data).first(size));
    ++tries;
  }
  CHECK(controller.device->metrics().missed_read_count.total() == tries);
  CHECK(controller.device->metrics().missed_write_count.total() == tries);
  CHECK(controller.resets == 0);
  CHECK(controller.answers() == Bytes{0xfa});
}

TEST_CASE("The metrics carry the names of the i8042 group") {
  const I8042Metrics metrics;
  std::string names;
  for (const MetricField& field : metrics.fields()) {
    names += std::string(field.name) + " ";
  }
  CHECK(names == "error_count missed_read_count missed_write_count read_count reset_count write_count ");
}

}  // namespace
}  // namespace wisp
