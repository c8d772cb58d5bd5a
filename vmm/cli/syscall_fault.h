// What happens when a thread makes a system call that its filter refuses (jailer/seccomp): the process ends, and says
// why.
//
// The kernel raises SIGSYS in the thread that made the call. The handler writes one line to standard error and counts
// seccomp.num_faults. Then somebody writes the log line and the last metrics line: the loop, woken by the signal pipe,
// if another thread was refused; the handler itself, under an alarm, if it was the loop's own call. Neither is waited
// for longer than kLastWordsMs. Exit code 148 in any case.
#pragma once

#include <csignal>
#include <cstdint>

#include "vmm/base/confinement.h"

namespace wisp {

inline constexpr unsigned kLastWordsMs = 1000;

struct SyscallFault {
  ThreadKind kind;
  int number;
  std::uint64_t first_argument;
  std::uint64_t second_argument;
};

/// Handler only: whether this SIGSYS comes from a filter.
bool is_refused_call(int signal_number, const siginfo_t& info);
/// Handler only: the above. `last_words` may be null.
[[noreturn]] void end_after_refused_call(const siginfo_t& info, const void* context, int notify_fd,
                                         void (*last_words)());

/// The call that was refused; nullptr when none was.
const SyscallFault* refused_call();
/// Its name, "?" when it has none.
const char* name_of(const SyscallFault& fault);

}  // namespace wisp
