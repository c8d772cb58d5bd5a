// The UART as a driver sees it: register stories, in the order in which Linux's 8250 driver tells them.
#include "vmm/legacy/serial.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <thread>

namespace wisp {
namespace {

constexpr std::uint64_t kData = 0;
constexpr std::uint64_t kIer = 1;
constexpr std::uint64_t kIir = 2;
constexpr std::uint64_t kFcr = 2;
constexpr std::uint64_t kLcr = 3;
constexpr std::uint64_t kMcr = 4;
constexpr std::uint64_t kLsr = 5;
constexpr std::uint64_t kMsr = 6;
constexpr std::uint64_t kScr = 7;

/// A UART whose output goes to an anonymous file.
class Port {
 public:
  Port() : Port(Fd(::memfd_create("console", MFD_CLOEXEC))) {}
  explicit Port(Fd sink)
      : sink_raw_(sink.raw()), serial(Serial::create(SerialOutput::owned(std::move(sink))).value()) {}

  std::uint8_t in(std::uint64_t offset) {
    std::byte value{};
    serial->read(offset, std::span(&value, 1));
    return std::to_integer<std::uint8_t>(value);
  }
  void out(std::uint64_t offset, std::uint8_t value) {
    const std::byte byte{value};
    serial->write(offset, std::span(&byte, 1));
  }
  void type(const std::string& text) { REQUIRE(serial->put_input(std::as_bytes(std::span(text))) == text.size()); }
  std::string output() const {
    std::string text(4096, '\0');
    const ssize_t count = ::pread(sink_raw_, text.data(), text.size(), 0);
    REQUIRE(count >= 0);
    text.resize(static_cast<std::size_t>(count));
    return text;
  }
  /// Did the line signal since the last question?
  bool interrupted() const { return serial->interrupt().drain() > 0; }

 private:
  int sink_raw_;

 public:
  std::unique_ptr<Serial> serial;
};

TEST_CASE("After reset the transmitter is empty, nothing was received, no interrupt is enabled") {
  Port port;
  CHECK(port.in(kLsr) == 0x60);
  CHECK(port.in(kIer) == 0);
  CHECK(port.in(kIir) == 0x01);
  CHECK(port.in(kMsr) == 0xb0);
  CHECK(port.in(kMcr) == 0);
  CHECK(port.in(kData) == 0);
  CHECK_FALSE(port.interrupted());
}

TEST_CASE("Bytes written to the transmitter arrive at the sink in order") {
  Port port;
  for (const char letter : std::string("boot\n")) {
    port.out(kData, static_cast<std::uint8_t>(letter));
    CHECK(port.in(kLsr) == 0x60);
  }
  CHECK(port.output() == "boot\n");
  CHECK(port.serial->metrics().write_count.total() == 5);
  CHECK(port.serial->metrics().flush_count.total() == 5);
  CHECK(port.serial->metrics().missed_write_count.total() == 0);
}

TEST_CASE("A driver's probing finds a 16550A and nothing fancier") {
  Port port;
  port.out(kScr, 0x55);
  CHECK(port.in(kScr) == 0x55);
  port.out(kIer, 0xff);
  CHECK(port.in(kIer) == 0x0f);
  port.out(kIer, 0);
  CHECK(port.in(kIer) == 0);
  // Loopback: RTS and OUT2 come back as CTS and DCD.
  port.out(kMcr, 0x1a);
  CHECK((port.in(kMsr)&0xf0) == 0x90);
  port.out(kMcr, 0x0b);
  CHECK((port.in(kMsr)&0xf0) == 0xb0);
  port.out(kFcr, 0x01);
  CHECK((port.in(kIir)&0xe0) == 0xc0);
  // The 64-byte mode of the 16750 must not stick.
  port.out(kLcr, 0x80);
  port.out(kFcr, 0x21);
  CHECK((port.in(kIir)&0x20) == 0);
  port.out(kLcr, 0);
  port.out(kFcr, 0);
  CHECK((port.in(kIir)&0xc0) == 0);
}

TEST_CASE("The divisor latch hides data and interrupt enable, and shows them again unchanged") {
  Port port;
  port.out(kIer, 0x05);
  port.out(kLcr, 0x83);
  CHECK(port.in(kData) == 12);
  CHECK(port.in(kIer) == 0);
  port.out(kData, 0x01);
  port.out(kIer, 0x02);
  CHECK(port.in(kData) == 0x01);
  CHECK(port.in(kIer) == 0x02);
  port.out(kLcr, 0x03);
  CHECK(port.in(kIer) == 0x05);
  CHECK(port.in(kLcr) == 0x03);
  CHECK(port.output().empty());
}

TEST_CASE("Enabling the transmitter interrupt signals at once; reading its code acknowledges it") {
  Port port;
  port.out(kIer, 0x02);
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0x02);
  CHECK(port.in(kIir) == 0x01);
  // Off and on again must signal again: Linux tests for chips that do not.
  port.out(kIer, 0);
  port.out(kIer, 0x02);
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0x02);
}

TEST_CASE("Each byte sent while the transmitter interrupt is enabled signals, read or not") {
  Port port;
  port.out(kIer, 0x02);
  port.interrupted();
  port.out(kData, 'a');
  CHECK(port.interrupted());
  port.out(kData, 'b');
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0x02);
}

TEST_CASE("Bytes sent with interrupts off signal nothing") {
  Port port;
  port.out(kData, 'a');
  CHECK_FALSE(port.interrupted());
  CHECK(port.in(kIir) == 0x01);
}

TEST_CASE("Input signals when its interrupt is enabled, and is read in order until the line status says no more") {
  Port port;
  port.out(kFcr, 0x01);
  port.out(kIer, 0x01);
  CHECK_FALSE(port.interrupted());
  port.type("hi");
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0xc4);
  CHECK((port.in(kLsr)&1) == 1);
  CHECK(port.in(kData) == 'h');
  CHECK((port.in(kLsr)&1) == 1);
  CHECK(port.in(kData) == 'i');
  CHECK((port.in(kLsr)&1) == 0);
  CHECK(port.in(kIir) == 0xc1);
  CHECK_FALSE(port.interrupted());
  CHECK(port.serial->metrics().read_count.total() == 2);
}

TEST_CASE("Input that came before its interrupt was enabled signals when it is enabled") {
  Port port;
  port.type("x");
  CHECK_FALSE(port.interrupted());
  port.out(kIer, 0x01);
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0x04);
}

TEST_CASE("More input signals again even when older input is unread") {
  Port port;
  port.out(kFcr, 0x01);
  port.out(kIer, 0x01);
  port.type("a");
  CHECK(port.interrupted());
  port.type("b");
  CHECK(port.interrupted());
}

TEST_CASE("Without FIFOs each byte has an interrupt of its own") {
  Port port;
  port.out(kIer, 0x01);
  port.type("ab");
  CHECK(port.interrupted());
  CHECK(port.in(kData) == 'a');
  CHECK(port.interrupted());
  CHECK(port.in(kData) == 'b');
  CHECK_FALSE(port.interrupted());
}

TEST_CASE("Received data comes before an empty transmitter in the identification") {
  Port port;
  port.out(kIer, 0x03);
  port.type("a");
  CHECK(port.in(kIir) == 0x04);
  CHECK(port.in(kData) == 'a');
  CHECK(port.in(kIir) == 0x02);
  CHECK(port.in(kIir) == 0x01);
}

TEST_CASE("The receiver holds 64 bytes and says so; what is more stays with the sender") {
  Port port;
  CHECK(port.serial->input_room() == kReceiveFifoBytes);
  const std::string text(100, 'x');
  CHECK(port.serial->put_input(std::as_bytes(std::span(text))) == 64);
  CHECK(port.serial->put_input(std::as_bytes(std::span(text))) == 0);
  CHECK(port.serial->input_room() == 0);
}

TEST_CASE("The room event fires once, when a full receiver is half empty and somebody has asked") {
  Port port;
  port.type(std::string(64, 'x'));
  CHECK(port.in(kData) == 'x');
  CHECK(port.serial->room_event().drain() == 0);  // nobody has asked
  port.type("x");
  REQUIRE(port.serial->input_room() == 0);
  for (int count = 0; count < 31; ++count) {
    port.in(kData);
  }
  CHECK(port.serial->room_event().drain() == 0);
  port.in(kData);
  CHECK(port.serial->room_event().drain() == 1);
  port.in(kData);
  CHECK(port.serial->room_event().drain() == 0);
}

TEST_CASE("Clearing the receiver FIFO throws input away and makes room") {
  Port port;
  port.out(kFcr, 0x01);
  port.type(std::string(64, 'x'));
  REQUIRE(port.serial->input_room() == 0);
  port.out(kFcr, 0x03);
  CHECK((port.in(kLsr)&1) == 0);
  CHECK(port.serial->room_event().drain() == 1);
  CHECK(port.serial->input_room() == 64);
}

TEST_CASE("Changing the FIFO mode clears the receiver, writing the same mode does not") {
  Port port;
  port.out(kFcr, 0x01);
  port.type("a");
  port.out(kFcr, 0x01);
  CHECK((port.in(kLsr)&1) == 1);
  port.out(kFcr, 0x00);
  CHECK((port.in(kLsr)&1) == 0);
}

TEST_CASE("In loopback mode what is sent is received, and neither sink nor input takes part") {
  Port port;
  port.out(kMcr, 0x10);
  port.out(kData, 'L');
  CHECK(port.in(kData) == 'L');
  CHECK(port.output().empty());
  port.type("lost");
  CHECK((port.in(kLsr)&1) == 0);
}

TEST_CASE("A loopback overrun is reported once, with its interrupt") {
  Port port;
  port.out(kMcr, 0x10);
  port.out(kIer, 0x04);
  for (int count = 0; count < 64; ++count) {
    port.out(kData, 'x');
  }
  CHECK_FALSE(port.interrupted());
  port.out(kData, 'y');
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0x06);
  CHECK(port.in(kLsr) == 0x63);
  CHECK(port.in(kLsr) == 0x61);
  CHECK(port.in(kIir) == 0x01);
}

TEST_CASE("Modem lines report what changed, once, with their interrupt") {
  Port port;
  port.out(kIer, 0x08);
  port.out(kMcr, 0x10);  // all lines fall
  CHECK(port.interrupted());
  CHECK(port.in(kIir) == 0x00);
  CHECK(port.in(kMsr) == 0x0b);
  CHECK(port.in(kMsr) == 0x00);
  CHECK(port.in(kIir) == 0x01);
  port.out(kMcr, 0x14);  // ring begins: no report
  CHECK(port.in(kMsr) == 0x40);
  port.out(kMcr, 0x10);  // ring ends
  CHECK(port.in(kMsr) == 0x04);
}

TEST_CASE("Line and modem status cannot be written") {
  Port port;
  port.out(kLsr, 0xff);
  port.out(kMsr, 0xff);
  CHECK(port.in(kLsr) == 0x60);
  CHECK(port.in(kMsr) == 0xb0);
}

TEST_CASE("Accesses of more than one byte are ignored, read as zeros and counted, at every register") {
  Port port;
  port.type("x");
  const auto size = GENERATE(std::size_t{0}, std::size_t{2}, std::size_t{4}, std::size_t{8});
  for (std::uint64_t offset = 0; offset + size <= kSerialRegisterCount; ++offset) {
    std::array<std::byte, 8> data{};
    port.serial->read(offset, std::span(data).first(size));
    CHECK(data == std::array<std::byte, 8>{});
    data.fill(std::byte{0xff});
    port.serial->write(offset, std::span(data).first(size));
  }
  const std::uint64_t tries = kSerialRegisterCount + 1 - size;
  CHECK(port.serial->metrics().missed_read_count.total() == tries);
  CHECK(port.serial->metrics().missed_write_count.total() == tries);
  CHECK(port.in(kIer) == 0);
  CHECK(port.in(kLsr) == 0x61);
  CHECK(port.output().empty());
}

TEST_CASE("A sink that nobody reads costs bytes, never the writer's time") {
  constexpr std::size_t kPipeBytes = 64 * 1024;
  constexpr std::size_t kSent = kPipeBytes + 1000;
  int ends[2] = {-1, -1};
  const bool shared = GENERATE(false, true);
  REQUIRE(::pipe2(ends, O_CLOEXEC | (shared ? 0 : O_NONBLOCK)) == 0);
  REQUIRE(::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes) == kPipeBytes);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const int writer_raw = writer.raw();
  const Fd kept(shared ? writer.release() : -1);
  const auto serial =
      Serial::create(shared ? SerialOutput::shared(FdRef(writer_raw)) : SerialOutput::owned(std::move(writer))).value();

  // With a blocking write this loop would never end.
  const std::byte byte{'x'};
  for (std::size_t count = 0; count < kSent; ++count) {
    serial->write(kData, std::span(&byte, 1));
  }
  const std::uint64_t written = serial->metrics().flush_count.total();
  // A shared pipe counts as full one page early: it is ready only while it has a whole page to give.
  CHECK(written > kPipeBytes - 4096);
  CHECK(written <= kPipeBytes);
  CHECK(serial->metrics().missed_write_count.total() == kSent - written);

  std::vector<char> taken(kPipeBytes);
  REQUIRE(::read(reader.raw(), taken.data(), taken.size()) == static_cast<ssize_t>(written));
  serial->write(kData, std::span(&byte, 1));
  CHECK(serial->metrics().flush_count.total() == written + 1);
}

TEST_CASE("A shared sink keeps its blocking mode") {
  int ends[2] = {-1, -1};
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  const auto serial = Serial::create(SerialOutput::shared(writer.ref())).value();
  const std::byte byte{'x'};
  serial->write(kData, std::span(&byte, 1));
  CHECK((::fcntl(writer.raw(), F_GETFL) & O_NONBLOCK) == 0);
  char taken = 0;
  CHECK(::read(reader.raw(), &taken, 1) == 1);
  CHECK(taken == 'x');
}

TEST_CASE("Registers and input may be used from several threads at once without losing a byte") {
  Port port;
  port.out(kFcr, 0x01);
  port.out(kIer, 0x01);
  constexpr int kBytes = 2000;
  std::thread typist([&] {
    for (int sent = 0; sent < kBytes;) {
      const std::byte byte{static_cast<unsigned char>(sent & 0xff)};
      sent += static_cast<int>(port.serial->put_input(std::span(&byte, 1)));
    }
  });
  std::thread writer([&] {
    for (int count = 0; count < 100; ++count) {
      port.out(kData, 'w');
      port.in(kMsr);
    }
  });
  int received = 0;
  bool in_order = true;
  while (received < kBytes) {
    if ((port.in(kLsr)&1) != 0) {
      in_order = in_order && port.in(kData) == (received & 0xff);
      ++received;
    }
  }
  typist.join();
  writer.join();
  CHECK(in_order);
  CHECK(port.output() == std::string(100, 'w'));
}

TEST_CASE("The metrics carry the names of the uart group") {
  const SerialMetrics metrics;
  std::string names;
  for (const MetricField& field : metrics.fields()) {
    names += std::string(field.name) + " ";
  }
  CHECK(names ==
        "error_count flush_count missed_read_count missed_write_count read_count write_count "
        "rate_limiter_dropped_bytes ");
}

}  // namespace
}  // namespace wisp
