// What a process of ours settles before it does anything: signals, descriptor table, identity.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "vmm/base/exit_code.h"
#include "vmm/base/fd.h"
#include "vmm/base/metrics.h"

namespace wisp {

/// 1 if the signal came, by name; the group "signals" of the metrics line. SIGPIPE is counted and otherwise ignored.
struct SignalMetrics {
  Gauge sigbus;
  Gauge sigsegv;
  Gauge sigxfsz;
  Gauge sigxcpu;
  Counter sigpipe;
  Gauge sighup;
  Gauge sigill;
  Gauge num_faults;  ///< group "seccomp": system calls that a filter refused

  void register_in(MetricsRegistry& registry) const;
};

/// Installs the handlers and unblocks every signal (a parent may have blocked or ignored them).
///
/// A signal sent from outside (SIGHUP, SIGXCPU and the like) is written to the returned descriptor as one byte, its
/// number; the loop then ends the process in good order. A signal that our own fault raised (SIGSEGV, SIGBUS, SIGILL,
/// SIGSYS) cannot be handled in good order: the handler writes one line to standard error and ends the process with the
/// documented code. SIGTERM and SIGINT end the process as they always do, after `restore_terminal`.
Result<Fd> install_signal_handlers(SignalMetrics& metrics, void (*restore_terminal)());

/// Called by the handler of a refused system call on the loop's thread (syscall_fault.h): log and metrics.
void set_last_words(void (*last_words)());

/// The documented exit code for a fatal signal.
ExitCode exit_code_of(int signal_number);
/// Sets the gauge of a fatal signal.
void count_signal(SignalMetrics& metrics, int signal_number);

/// Grows the descriptor table once, while there is one thread: growing it later stalls for a grace period of the
/// kernel.
void reserve_descriptor_table();

/// Takes the descriptors that the process was started with. To be called before anything else is opened: a number that
/// was not open then would mean whatever gets it first.
Result<std::map<std::string, Fd>> claim_inherited(const std::map<std::string, int>& numbers);

}  // namespace wisp
