#include "jailer/jail/family.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "vmm/base/clock.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

constexpr std::size_t kMaxReportBytes = 4096;

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error::host(errno, "Failed to daemonize: no pipe");
  }
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

std::string read_report(FdRef fd) {
  std::string text;
  std::array<char, kMaxReportBytes> block;
  while (text.size() < kMaxReportBytes) {
    const ssize_t count = uninterrupted([&] { return ::read(fd.raw(), block.data(), block.size()); });
    if (count <= 0) {
      break;
    }
    text.append(block.data(), static_cast<std::size_t>(count));
  }
  return text;
}

int wait_for(pid_t child) {
  int status = 0;
  (void)uninterrupted([&] { return ::waitpid(child, &status, 0); });
  return status;
}

pid_t fork_into(std::uint64_t namespaces) {
  struct clone_args arguments {};
  arguments.flags = namespaces;
  arguments.exit_signal = SIGCHLD;
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof(arguments)));
}

/// The parent of the monitor: writes its pid down, lets it go on, and waits for execve or a failure.
Status launch(pid_t child, Pipe& go, Pipe& report, const RecordPid& record) {
  report.write.reset();
  go.read.reset();
  if (Status recorded = record(child); !recorded.ok()) {
    ::kill(child, SIGKILL);  // it waits for its go and has done nothing
    (void)wait_for(child);
    return recorded;
  }
  if (::write(go.write.raw(), "g", 1) != 1) {
    (void)wait_for(child);
    return Error::host(errno, "Failed to start the monitor's process");
  }
  const std::string text = read_report(report.read.ref());
  if (!text.empty()) {
    (void)wait_for(child);
    return Error(ErrorCode::HostFault, text);
  }
  return {};
}

/// In the new process: waits until the pid is written down. A parent that died instead ends us.
void await_go(Pipe& go) {
  go.write.reset();
  char byte = 0;
  if (::read(go.read.raw(), &byte, 1) != 1) {
    ::_exit(1);
  }
}

/// Forks the monitor's process, in a new PID namespace when the plan wants one.
Result<FamilyPlace> fork_monitor(const JailPlan& plan, std::uint64_t spent_cpu_us, const RecordPid& record) {
  Pipe go = WISP_TRY(make_pipe());
  Pipe report = WISP_TRY(make_pipe());
  spent_cpu_us += process_cpu_time_us();
  const pid_t child = fork_into(plan.pid_namespace == PidNamespace::New ? CLONE_NEWPID : 0);
  if (child < 0) {
    return Error::host(errno, "Failed to start the monitor's process", "A new PID namespace needs CAP_SYS_ADMIN");
  }
  if (child == 0) {
    await_go(go);
    return FamilyPlace{Role::Monitor, std::move(report.write), spent_cpu_us};
  }
  (void)WISP_TRY(launch(child, go, report, record));
  return FamilyPlace{Role::Parent, Fd(), spent_cpu_us};
}

/// The process between a daemon and the jailer: leads the new session, and hands the outcome up.
[[noreturn]] void hand_up(const Result<FamilyPlace>& outcome, FdRef report) {
  if (!outcome.ok()) {
    const std::string& text = outcome.error().text();
    (void)!::write(report.raw(), text.data(), text.size());
    ::_exit(1);
  }
  ::_exit(0);
}

Result<FamilyPlace> fork_daemon(const JailPlan& plan, const RecordPid& record) {
  Pipe report = WISP_TRY(make_pipe());
  const std::uint64_t spent_cpu_us = process_cpu_time_us();
  const pid_t child = fork_into(0);
  if (child < 0) {
    return Error::host(errno, "Failed to daemonize: cannot fork");
  }
  if (child == 0) {
    report.read.reset();
    // The session's leader ends here; a process that is no leader cannot get a terminal again.
    Result<FamilyPlace> place = ::setsid() < 0 ? Result<FamilyPlace>(Error::host(errno, "Failed to daemonize: setsid"))
                                               : fork_monitor(plan, spent_cpu_us, record);
    if (place.ok() && place.value().role == Role::Monitor) {
      return place;
    }
    hand_up(place, report.write.ref());
  }
  report.write.reset();
  const std::string text = read_report(report.read.ref());
  const int status = wait_for(child);
  if (!text.empty() || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error(ErrorCode::HostFault, text.empty() ? "Failed to daemonize: a process was killed. Try again" : text);
  }
  return FamilyPlace{Role::Parent, Fd(), spent_cpu_us};
}

}  // namespace

Result<FamilyPlace> split_family(const JailPlan& plan, const RecordPid& record) {
  if (plan.daemonize == Daemonize::Yes) {
    return fork_daemon(plan, record);
  }
  if (plan.pid_namespace == PidNamespace::New) {
    return fork_monitor(plan, 0, record);
  }
  (void)WISP_TRY(record(::getpid()));
  return FamilyPlace{};
}

}  // namespace wisp
