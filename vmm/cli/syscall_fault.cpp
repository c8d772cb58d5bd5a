#include "vmm/cli/syscall_fault.h"

#include <poll.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstring>

#include "jailer/seccomp/filters.h"
#include "vmm/base/exit_code.h"

namespace wisp {
namespace {

constexpr int kSysSeccomp = 1;  // si_code of a refused call; <asm/siginfo.h> cannot be had beside <csignal>
constexpr int kWaitStepMs = 10;

SyscallFault first_fault;
std::atomic<bool> has_fault = false;

/// A line put together without the allocator and without stdio: a handler may have interrupted both.
class SafeLine {
 public:
  SafeLine& operator<<(const char* text) {
    const std::size_t length = std::min(std::strlen(text), text_.size() - used_);
    std::memcpy(text_.data() + used_, text, length);
    used_ += length;
    return *this;
  }
  SafeLine& number(std::uint64_t value, int base) {
    const auto result = std::to_chars(text_.data() + used_, text_.data() + text_.size(), value, base);
    used_ = static_cast<std::size_t>(result.ptr - text_.data());
    return *this;
  }
  void write_to_stderr() const { (void)!::write(STDERR_FILENO, text_.data(), used_); }

 private:
  std::array<char, 256> text_{};
  std::size_t used_ = 0;
};

void say(const SyscallFault& fault) {
  SafeLine line;
  line << "wisp: a thread of kind '" << to_string(fault.kind) << "' made the forbidden system call ";
  line.number(static_cast<std::uint64_t>(fault.number), 10) << " (" << name_of(fault) << ", arguments 0x";
  line.number(fault.first_argument, 16) << ", 0x";
  line.number(fault.second_argument, 16) << ", ...); this is a fault of wisp or an attack, the VM is shut down\n";
  line.write_to_stderr();
}

/// In small steps: a kick of a vCPU interrupts a wait.
void wait_for_the_loop() {
  for (unsigned waited_ms = 0; waited_ms < kLastWordsMs; waited_ms += kWaitStepMs) {
    (void)::poll(nullptr, 0, kWaitStepMs);
  }
}

}  // namespace

bool is_refused_call(int signal_number, const siginfo_t& info) {
  return signal_number == SIGSYS && info.si_code == kSysSeccomp;
}

void end_after_refused_call(const siginfo_t& info, const void* context, int notify_fd, void (*last_words)()) {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const SyscallFault fault{this_thread_kind(), info.si_syscall, static_cast<std::uint64_t>(registers[REG_RDI]),
                           static_cast<std::uint64_t>(registers[REG_RSI])};
  if (!has_fault.exchange(true)) {
    first_fault = fault;
  }
  say(fault);
  if (fault.kind != ThreadKind::Setup && fault.kind != ThreadKind::Loop) {
    const auto byte = static_cast<unsigned char>(SIGSYS);
    (void)!::write(notify_fd, &byte, 1);
    wait_for_the_loop();
  } else if (last_words != nullptr) {
    // The refused call may have been made with a lock held that the last words need.
    (void)::alarm(kLastWordsMs / 1000);
    last_words();
  }
  ::_exit(to_int(ExitCode::BadSyscall));
}

const SyscallFault* refused_call() {
  return has_fault.load() ? &first_fault : nullptr;
}

const char* name_of(const SyscallFault& fault) {
  const char* name = seccomp::call_name(fault.number);
  return name == nullptr ? "?" : name;
}

}  // namespace wisp
