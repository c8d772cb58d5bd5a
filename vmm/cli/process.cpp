#include "vmm/cli/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "vmm/cli/syscall_fault.h"

namespace wisp {
namespace {

constexpr int kDescriptorTableSize = 512;
/// As shells report a death by signal.
constexpr int kExitCodeOfSignalBase = 128;

struct FatalSignal {
  int number;
  ExitCode code;
  const char* name;
};
constexpr std::array kFatalSignals = {
    FatalSignal{SIGSYS, ExitCode::BadSyscall, "SIGSYS"}, FatalSignal{SIGBUS, ExitCode::Sigbus, "SIGBUS"},
    FatalSignal{SIGSEGV, ExitCode::Sigsegv, "SIGSEGV"},  FatalSignal{SIGXFSZ, ExitCode::Sigxfsz, "SIGXFSZ"},
    FatalSignal{SIGXCPU, ExitCode::Sigxcpu, "SIGXCPU"},  FatalSignal{SIGHUP, ExitCode::Sighup, "SIGHUP"},
    FatalSignal{SIGILL, ExitCode::Sigill, "SIGILL"},
};

// Handlers can reach nothing but globals. Written once, before the handlers are installed.
SignalMetrics* signal_metrics = nullptr;
void (*terminal_restorer)() = nullptr;
void (*last_words_writer)() = nullptr;
int notify_fd = -1;

const FatalSignal* find_fatal(int number) {
  const auto found = std::find_if(kFatalSignals.begin(), kFatalSignals.end(),
                                  [number](const FatalSignal& each) { return each.number == number; });
  return found == kFatalSignals.end() ? nullptr : &*found;
}

void restore_terminal() {
  if (terminal_restorer != nullptr) {
    terminal_restorer();
  }
}

void write_text(const char* text) {
  (void)!::write(STDERR_FILENO, text, std::strlen(text));
}

/// A write beyond the file size limit raises SIGXFSZ in the writer and returns EFBIG: the error is enough.
bool is_own_file_limit(int number, const siginfo_t& info) {
  return number == SIGXFSZ && info.si_pid == ::getpid();
}

void on_fatal(int number, siginfo_t* info, void* context) {
  if (is_refused_call(number, *info)) {
    signal_metrics->num_faults.set(1);
    restore_terminal();
    end_after_refused_call(*info, context, notify_fd, last_words_writer);
  }
  if (is_own_file_limit(number, *info)) {
    return;
  }
  const bool sent_from_outside = info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL ||
                                 number == SIGHUP || number == SIGXCPU;
  if (sent_from_outside) {
    const auto byte = static_cast<unsigned char>(number);
    (void)!::write(notify_fd, &byte, 1);
    return;
  }
  restore_terminal();
  const FatalSignal* fatal = find_fatal(number);
  write_text("wisp: shutting down the VM after intercepting ");
  write_text(fatal != nullptr ? fatal->name : "a signal");
  write_text(" raised by the monitor itself; this is a fault of wisp, please report it\n");
  ::_exit(to_int(exit_code_of(number)));
}

void on_pipe(int /*number*/) {
  signal_metrics->sigpipe.add();
}

/// The last words of a refused call took too long.
void on_alarm(int /*number*/) {
  ::_exit(to_int(ExitCode::BadSyscall));
}

void on_terminate(int number) {
  restore_terminal();
  (void)std::signal(number, SIG_DFL);
  sigset_t own;
  ::sigemptyset(&own);
  ::sigaddset(&own, number);
  (void)::sigprocmask(SIG_UNBLOCK, &own, nullptr);  // a handler's own signal waits for its end otherwise
  (void)std::raise(number);
  // Still here: the first process of a PID namespace is not killed by signals of its own.
  ::_exit(kExitCodeOfSignalBase + number);
}

void install(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  (void)::sigaction(number, &action, nullptr);
}

}  // namespace

void SignalMetrics::register_in(MetricsRegistry& registry) const {
  registry.add_group("seccomp", {{"num_faults", &num_faults}});
  registry.add_group("signals", {{"sigbus", &sigbus},
                                 {"sigsegv", &sigsegv},
                                 {"sigxfsz", &sigxfsz},
                                 {"sigxcpu", &sigxcpu},
                                 {"sigpipe", &sigpipe},
                                 {"sighup", &sighup},
                                 {"sigill", &sigill}});
}

Result<Fd> install_signal_handlers(SignalMetrics& metrics, void (*restore)()) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error::host(errno, "cannot create the signal pipe", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  signal_metrics = &metrics;
  terminal_restorer = restore;
  notify_fd = ends[1];
  for (const FatalSignal& fatal : kFatalSignals) {
    struct sigaction action {};
    action.sa_sigaction = on_fatal;
    action.sa_flags = SA_SIGINFO;
    (void)::sigaction(fatal.number, &action, nullptr);
  }
  install(SIGPIPE, on_pipe);
  install(SIGALRM, on_alarm);
  install(SIGTERM, on_terminate);
  install(SIGINT, on_terminate);
  sigset_t none;
  ::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  return Fd(ends[0]);
}

void set_last_words(void (*last_words)()) {
  last_words_writer = last_words;
}

ExitCode exit_code_of(int signal_number) {
  const FatalSignal* fatal = find_fatal(signal_number);
  return fatal == nullptr ? ExitCode::GenericError : fatal->code;
}

void count_signal(SignalMetrics& metrics, int signal_number) {
  switch (signal_number) {
    case SIGBUS: metrics.sigbus.set(1); break;
    case SIGSEGV: metrics.sigsegv.set(1); break;
    case SIGXFSZ: metrics.sigxfsz.set(1); break;
    case SIGXCPU: metrics.sigxcpu.set(1); break;
    case SIGHUP: metrics.sighup.set(1); break;
    case SIGILL: metrics.sigill.set(1); break;
    case SIGSYS: metrics.num_faults.set(1); break;
    default: break;
  }
}

void reserve_descriptor_table() {
  // dup2 to a high number makes the kernel grow the table to hold it; a refusal (a low RLIMIT_NOFILE) costs nothing.
  if (::dup2(STDIN_FILENO, kDescriptorTableSize - 1) >= 0) {
    ::close(kDescriptorTableSize - 1);
  }
}

Result<std::map<std::string, Fd>> claim_inherited(const std::map<std::string, int>& numbers) {
  std::map<std::string, Fd> claimed;
  for (const auto& [name, number] : numbers) {
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) {
      return Error::host(errno, "--inherit-fd " + name + "=" + std::to_string(number) + " names no open descriptor",
                         "Open it in the parent, without close-on-exec");
    }
    claimed.emplace(name, Fd(number));
  }
  return claimed;
}

}  // namespace wisp
