// What each thread may still ask of the kernel, seen from the thread itself.
//
//   confine_this_thread(ThreadKind::Vcpu);   // first thing in a vCPU's thread
//   WISP_TRY(build_the_machine()); confine_this_thread(ThreadKind::Loop);   // the loop's, once the machine is built
//
// Who confines and how is the program's choice, made once in main(), before there is a second thread: the monitor
// installs its system call filters (jailer/seccomp), a unit test nothing. A thread that cannot be confined ends the
// process. A new thread inherits its parent's filters, so a thread that starts others of its kind confines itself and
// the others only say what they are (name_thread_kind).
#pragma once

#include <cstdint>

namespace wisp {

enum class ThreadKind : std::uint8_t {
  Setup,  ///< the main thread until a machine is built
  Loop,   ///< the main thread from then on
  Api,    ///< the API server's threads
  Vcpu,
  Guard,  ///< watches the page-fault handler of a loaded machine
};

using ConfineThread = void (*)(ThreadKind);

/// Once, before the first thread is started.
void set_confinement(ConfineThread confine);
void confine_this_thread(ThreadKind kind);
void name_thread_kind(ThreadKind kind);
/// May be called in signal handlers.
ThreadKind this_thread_kind();

constexpr const char* to_string(ThreadKind kind) {
  switch (kind) {
    case ThreadKind::Setup: return "setup";
    case ThreadKind::Loop: return "vmm";
    case ThreadKind::Api: return "api";
    case ThreadKind::Vcpu: return "vcpu";
    case ThreadKind::Guard: return "guard";
  }
  return "?";
}

}  // namespace wisp
