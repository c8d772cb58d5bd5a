#include "vmm/legacy/serial_input.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

namespace wisp {
namespace {

/// A pipe to type into, a loop, and a UART whose driver has enabled its FIFOs and the receive interrupt.
struct Console {
  Console() {
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    input_end = Fd(ends[0]);
    keyboard = Fd(ends[1]);
    input = SerialInput::attach(*loop, input_end.ref(), *serial).value();
  }
  void type(const std::string& text) {
    REQUIRE(::write(keyboard.raw(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  /// Lets the loop handle everything that is ready now.
  void run() {
    for (int batch = 0; batch < 10; ++batch) {
      loop->run_once(0);
    }
  }
  /// What the guest reads while the line status says that there is something.
  std::string guest_reads(std::size_t limit) {
    std::string text;
    while (text.size() < limit && (in(5) & 1) != 0) {
      text.push_back(static_cast<char>(in(0)));
    }
    return text;
  }
  std::uint8_t in(std::uint64_t offset) {
    std::byte value{};
    serial->read(offset, std::span(&value, 1));
    return std::to_integer<std::uint8_t>(value);
  }

  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  std::unique_ptr<Serial> serial =
      Serial::create(SerialOutput::owned(Fd(::memfd_create("console", MFD_CLOEXEC)))).value();
  Fd input_end;
  Fd keyboard;
  std::unique_ptr<SerialInput> input;
};

TEST_CASE("What is typed reaches the guest") {
  Console console;
  console.type("root\n");
  console.run();
  CHECK(console.guest_reads(100) == "root\n");
  CHECK(console.input->state() == SerialInput::State::Watching);
}

TEST_CASE("Input waits on the host while the guest does not read, and goes on without loss when it does") {
  Console console;
  std::string text;
  for (int line = 0; line < 100; ++line) {
    text += std::to_string(line) + "\n";
  }
  console.type(text);
  console.run();
  CHECK(console.input->state() == SerialInput::State::WaitingForRoom);

  std::string received;
  for (int round = 0; round < 100 && received.size() < text.size(); ++round) {
    received += console.guest_reads(40);
    console.run();
  }
  CHECK(received == text);
  CHECK(console.serial->metrics().error_count.total() == 0);
}

TEST_CASE("A guest that never reads leaves the loop idle") {
  Console console;
  console.type(std::string(1000, 'x'));
  console.run();
  REQUIRE(console.input->state() == SerialInput::State::WaitingForRoom);
  bool posted = false;
  console.loop->post([&] { posted = true; });
  console.loop->run_once(0);  // takes the post alone: nothing else is ready
  CHECK(posted);
  CHECK(console.guest_reads(1000).size() == kReceiveFifoBytes);
}

TEST_CASE("The end of the input ends the watch, after what was typed before") {
  Console console;
  console.type("bye");
  console.keyboard.reset();
  console.run();
  CHECK(console.input->state() == SerialInput::State::Ended);
  CHECK(console.guest_reads(100) == "bye");
}

TEST_CASE("The end of the input is noticed after a pause for want of room") {
  Console console;
  console.type(std::string(70, 'x'));
  console.keyboard.reset();
  console.run();
  REQUIRE(console.input->state() == SerialInput::State::WaitingForRoom);
  CHECK(console.guest_reads(100).size() == 64);
  console.run();
  CHECK(console.guest_reads(100).size() == 6);
  CHECK(console.input->state() == SerialInput::State::Ended);
}

TEST_CASE("Destroying the input in any state leaves nothing behind in the loop") {
  Console console;
  console.type(std::string(70, 'x'));
  SECTION("while watching") {}
  SECTION("while waiting for room") {
    console.run();
  }
  console.input.reset();
  console.guest_reads(100);
  console.type("more");
  console.run();
  CHECK((console.in(5) & 1) == 0);
}

TEST_CASE("Only terminals and FIFOs count as somebody who types") {
  int ends[2] = {-1, -1};
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  CHECK(SerialInput::accepts(reader.ref()));
  const Fd file(::memfd_create("file", MFD_CLOEXEC));
  CHECK_FALSE(SerialInput::accepts(file.ref()));
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK_FALSE(SerialInput::accepts(null.ref()));
  CHECK_FALSE(SerialInput::accepts(FdRef(-1)));
  const Fd terminal(::posix_openpt(O_RDWR | O_NOCTTY));
  if (terminal.valid()) {
    CHECK(SerialInput::accepts(terminal.ref()));
  }
}

TEST_CASE("An input that the kernel cannot watch is refused with an error") {
  Console console;
  const Fd file(::memfd_create("file", MFD_CLOEXEC));
  const auto other = Serial::create(SerialOutput::owned(Fd(::memfd_create("o", MFD_CLOEXEC)))).value();
  CHECK_FALSE(SerialInput::attach(*console.loop, file.ref(), *other).ok());
  console.type("still here");
  console.run();
  CHECK(console.guest_reads(100) == "still here");
}

}  // namespace
}  // namespace wisp
