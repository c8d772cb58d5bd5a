#include "vmm/legacy/terminal.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdlib>

namespace wisp {
namespace {

// Static because exit handlers and signal handlers have nothing else to hold on to. Written before `is_raw` says so.
// Kept as the kernel gave them and put back by a single call: the C library's tcsetattr() reads them once more, which a
// thread's filter does not allow. The kernel's struct termios has 36 bytes.
std::array<std::byte, 64> former_settings;
int terminal_fd = -1;
std::atomic<bool> is_raw = false;
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

std::optional<RawTerminal> RawTerminal::enter(FdRef terminal) {
  termios settings{};
  if (is_raw.load() || ::tcgetattr(terminal.raw(), &settings) != 0 || ::tcgetpgrp(terminal.raw()) != ::getpgrp()) {
    return std::nullopt;
  }
  if (::ioctl(terminal.raw(), TCGETS, former_settings.data()) != 0) {
    return std::nullopt;
  }
  terminal_fd = terminal.raw();
  settings.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
  settings.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);  // Enter is a carriage return, Ctrl-S and Ctrl-Q are keys
  if (::tcsetattr(terminal.raw(), TCSANOW, &settings) != 0) {
    return std::nullopt;
  }
  is_raw.store(true);
  static const int registered = std::atexit(&RawTerminal::restore);
  (void)registered;
  return RawTerminal();
}

RawTerminal::~RawTerminal() {
  if (active_) {
    restore();
  }
}

void RawTerminal::restore() {
  if (!is_raw.exchange(false)) {
    return;
  }
  // If we were put into the background meanwhile, SIGTTOU would stop us here for ever; blocked, the call goes through.
  sigset_t only_ttou;
  sigset_t former_mask;
  sigemptyset(&only_ttou);
  sigaddset(&only_ttou, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &only_ttou, &former_mask);
  ::ioctl(terminal_fd, TCSETS, former_settings.data());
  ::pthread_sigmask(SIG_SETMASK, &former_mask, nullptr);
}

}  // namespace wisp
