// How the monitor's process ends. The numbers are part of the interface; orchestrators act on them.
#pragma once

namespace wisp {

enum class ExitCode : int {
  Ok = 0,            ///< the guest asked for a reset or power-off; --help, --version
  GenericError = 1,  ///< a configuration or start failure, a vCPU failure, a triple fault
  BadSyscall = 148,  ///< SIGSYS: a forbidden system call
  Sigbus = 149,
  Sigsegv = 150,
  Sigxfsz = 151,
  BadConfiguration = 152,  ///< invalid log level and the like
  ArgumentParsing = 153,
  Sigxcpu = 154,
  Sighup = 156,
  Sigill = 157,
};

constexpr int to_int(ExitCode code) {
  return static_cast<int>(code);
}

}  // namespace wisp
