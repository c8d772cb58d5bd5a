#include "vmm/cli/console_keys.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "vmm/legacy/terminal.h"

namespace wisp {
namespace {

constexpr char kPrefix = 0x01;  // Ctrl-A
constexpr std::string_view kKeys =
    "\r\nwisp: Ctrl-A x ends the machine, Ctrl-A Ctrl-A types Ctrl-A, Ctrl-A h shows this.\r\n";

/// As shells report a death by signal.
constexpr int kExitCodeOfSignalBase = 128;
/// Signals that would end the process without giving the terminal back; the others are handled (vmm/cli/process).
constexpr std::array kEndingSignals = {SIGQUIT, SIGABRT, SIGFPE, SIGTRAP, SIGUSR1, SIGUSR2};

void give_back_and_end(int number) {
  RawTerminal::restore();
  ::_exit(kExitCodeOfSignalBase + number);
}

void show(std::string_view text) {
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

KeyFilter::Typed KeyFilter::take(std::span<const char> keys) {
  Typed typed;
  for (const char key : keys) {
    if (!after_prefix_) {
      after_prefix_ = key == kPrefix;
      typed.for_guest += after_prefix_ ? std::string() : std::string(1, key);
      continue;
    }
    after_prefix_ = false;
    if (key == 'x' || key == 'X') {
      typed.action = Action::End;
      return typed;
    }
    if (key == 'h' || key == 'H' || key == '?') {
      typed.action = Action::Help;
    } else {
      typed.for_guest += kPrefix;
      typed.for_guest += key == kPrefix ? std::string() : std::string(1, key);
    }
  }
  return typed;
}

Result<std::unique_ptr<ConsoleKeys>> ConsoleKeys::take_over_terminal(EventLoop& loop, std::function<void()> on_end) {
  std::unique_ptr<ConsoleKeys> keys;
  if (::isatty(STDIN_FILENO) == 0) {
    return keys;
  }
  Fd terminal = WISP_TRY(duplicate(FdRef(STDIN_FILENO), "terminal"));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error::host(errno, "cannot make the pipe between the terminal and the guest",
                       "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  const Fd for_serial(ends[0]);
  Fd guest(ends[1]);
  auto raw = RawTerminal::enter(terminal.ref());
  if (!raw) {
    return keys;  // in the background: the shell in front keeps its settings
  }
  for (const int number : kEndingSignals) {
    (void)std::signal(number, give_back_and_end);
  }
  // Given back at the end of the process, by whoever ends it (RawTerminal::restore).
  static std::optional<RawTerminal> kept;
  kept.emplace(std::move(*raw));
  if (::dup2(for_serial.raw(), STDIN_FILENO) < 0) {
    return Error::host(errno, "cannot put the pipe in place of standard input");
  }
  keys.reset(new ConsoleKeys(loop, std::move(terminal), std::move(guest), std::move(on_end)));
  (void)WISP_TRY(loop.watch(keys->terminal_.ref(), Interest::Readable, *keys));
  show("wisp: this terminal is the guest's serial console. Ctrl-A x ends it, Ctrl-A h shows the keys.\r\n");
  return keys;
}

void ConsoleKeys::on_event(std::uint32_t /*events*/) {
  std::array<char, 256> keys{};
  const ssize_t count = ::read(terminal_.raw(), keys.data(), keys.size());
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
    return;
  }
  if (count <= 0) {
    loop_.unwatch(terminal_.ref(), *this);  // hung up; SIGHUP ends the process if it is meant to
    guest_.reset();
    return;
  }
  const KeyFilter::Typed typed = filter_.take(std::span(keys).first(static_cast<std::size_t>(count)));
  (void)!::write(guest_.raw(), typed.for_guest.data(), typed.for_guest.size());
  if (typed.action == KeyFilter::Action::Help) {
    show(kKeys);
  } else if (typed.action == KeyFilter::Action::End) {
    on_end_();
  }
}

}  // namespace wisp
