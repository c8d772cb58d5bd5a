#include "vmm/legacy/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

namespace wisp {
namespace {

/// A pseudo-terminal; `slave` is opened by whoever is to own it.
struct PseudoTerminal {
  PseudoTerminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    available = master.valid() && ::grantpt(master.raw()) == 0 && ::unlockpt(master.raw()) == 0;
    if (available) {
      path = ::ptsname(master.raw());
    }
  }
  tcflag_t input_flags() const {
    termios settings{};
    return ::tcgetattr(master.raw(), &settings) == 0 ? settings.c_iflag : 0;
  }
  tcflag_t local_flags() const {
    termios settings{};
    return ::tcgetattr(master.raw(), &settings) == 0 ? settings.c_lflag : 0;
  }

  Fd master;
  bool available = false;
  std::string path;
};

constexpr tcflag_t kCooked = ICANON | ECHO | ISIG;

/// Runs `story` in a child that leads a session of its own on the terminal; true when it returned true.
template <typename Story>
bool in_foreground(const PseudoTerminal& terminal, Story story) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    const Fd slave(::open(terminal.path.c_str(), O_RDWR));  // the first terminal opened becomes the controlling one
    const bool good = slave.valid() && ::tcgetpgrp(slave.raw()) == ::getpgrp() && story(slave);
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE("Enter, Ctrl-S and Ctrl-Q reach the guest as they are, and mean what they did afterwards") {
  const PseudoTerminal terminal;
  REQUIRE(terminal.available);
  CHECK(in_foreground(terminal, [&](const Fd& slave) {
    const tcflag_t before = terminal.input_flags();
    bool good = (before & ICRNL) != 0;
    {
      const auto raw = RawTerminal::enter(slave.ref());
      good = good && raw.has_value() && (terminal.input_flags() & (ICRNL | IXON)) == 0;
    }
    return good && terminal.input_flags() == before;
  }));
}

TEST_CASE("Entering turns off echo, line editing and signal keys; leaving puts them back") {
  const PseudoTerminal terminal;
  REQUIRE(terminal.available);
  CHECK(in_foreground(terminal, [&](const Fd& slave) {
    bool good = (terminal.local_flags() & kCooked) == kCooked;
    {
      const auto raw = RawTerminal::enter(slave.ref());
      good = good && raw.has_value() && (terminal.local_flags() & kCooked) == 0;
      good = good && !RawTerminal::enter(slave.ref()).has_value();  // one at a time
    }
    return good && (terminal.local_flags() & kCooked) == kCooked;
  }));
}

TEST_CASE("Restoring early works once, and the object's end does not undo what came after") {
  const PseudoTerminal terminal;
  REQUIRE(terminal.available);
  CHECK(in_foreground(terminal, [&](const Fd& slave) {
    bool good = true;
    {
      const auto raw = RawTerminal::enter(slave.ref());
      RawTerminal::restore();
      good = raw.has_value() && (terminal.local_flags() & kCooked) == kCooked;
      termios changed{};
      ::tcgetattr(slave.raw(), &changed);
      changed.c_lflag &= ~static_cast<tcflag_t>(ECHO);
      ::tcsetattr(slave.raw(), TCSANOW, &changed);
    }
    return good && (terminal.local_flags() & ECHO) == 0;
  }));
}

TEST_CASE("The settings come back at exit when the object is still there") {
  const PseudoTerminal terminal;
  REQUIRE(terminal.available);
  // Held open here, so that the settings outlive the child's session.
  const Fd held(::open(terminal.path.c_str(), O_RDWR | O_NOCTTY));
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    const int slave = ::open(terminal.path.c_str(), O_RDWR);
    static auto raw = RawTerminal::enter(FdRef(slave));
    // Never destroyed, and not on the heap, where it would count as a leak.
    alignas(std::optional<RawTerminal>) static std::byte storage[sizeof(std::optional<RawTerminal>)];
    new (storage) std::optional<RawTerminal>(std::move(raw));
    std::exit((terminal.local_flags() & kCooked) == 0 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK((terminal.local_flags() & kCooked) == kCooked);
}

TEST_CASE("A terminal of another session, and what is no terminal, are left alone") {
  const PseudoTerminal terminal;
  REQUIRE(terminal.available);
  const Fd slave(::open(terminal.path.c_str(), O_RDWR | O_NOCTTY));
  CHECK_FALSE(RawTerminal::enter(slave.ref()).has_value());
  CHECK((terminal.local_flags() & kCooked) == kCooked);
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  CHECK_FALSE(RawTerminal::enter(null.ref()).has_value());
}

}  // namespace
}  // namespace wisp
