#include "jailer/jail/jail.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "jailer/jail/mounts.h"
#include "jailer/jail/privileges.h"
#include "vmm/base/clock.h"

namespace wisp {
namespace {

constexpr mode_t kUmask = 077;

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

}  // namespace

Status shed_inheritance() {
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_UNSHARE) != 0) {
    return Error::host(errno, "Failed to close inherited descriptors", "wisp-jailer needs Linux 5.9 or newer");
  }
  // A closed standard descriptor would be taken by the next file that is opened, and handed to the monitor.
  for (int standard = 0; standard <= 2; ++standard) {
    if (::fcntl(standard, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != standard) {
      return Error::host(errno, "Failed to open /dev/null for a closed standard stream");
    }
  }
  if (::clearenv() != 0) {
    return Error(ErrorCode::HostFault, "Failed to clear the environment");
  }
  (void)::umask(kUmask);
  return reset_signals();
}

Status Jail::prepare_outside() {
  (void)WISP_TRY(make_tree(plan_, host_, tree_, undo_));
  if (host_.netns.valid() && ::setns(host_.netns.raw(), CLONE_NEWNET) != 0) {
    return Error::host(errno, "Failed to join network namespace: " + plan_.netns.value_or(""));
  }
  return join_cgroups(host_.cgroups, undo_);
}

Status Jail::become_daemon() {
  for (int standard = 0; standard <= 2; ++standard) {
    if (::dup2(host_.null_device.raw(), standard) < 0) {
      return Error::host(errno, "Failed to daemonize: standard streams");
    }
  }
  return {};
}

Status Jail::confine_self() {
  if (plan_.daemonize == Daemonize::No || plan_.pid_namespace == PidNamespace::New) {
    leave_terminal();  // a daemon's session was made by its parent; /dev/tty can be reached only before pivot_root
  }
  (void)WISP_TRY(leave_keyring());
  (void)WISP_TRY(enter_namespaces(tree_, plan_.id));
  (void)WISP_TRY(pivot_into(tree_));
  (void)WISP_TRY(set_mount_flags(tree_, host_.program));
  (void)WISP_TRY(verify_root(tree_));
  if (plan_.daemonize == Daemonize::Yes) {
    (void)WISP_TRY(become_daemon());
  }
  (void)WISP_TRY(set_limits(plan_.limits));
  return drop_privileges(plan_.uid, plan_.gid);
}

Status Jail::execute() {
  const bool forked = family_.report.valid();
  // A forked process' CPU clock begins at zero; what its parents used is told apart.
  const std::vector<std::string> words = [&] {
    std::vector<std::string> list = {host_.program.name,
                                     "--id",
                                     plan_.id,
                                     "--start-time-us",
                                     number(times_.monotonic_us),
                                     "--start-time-cpu-us",
                                     number(forked ? 0 : times_.cpu_us),
                                     "--parent-cpu-time-us",
                                     number(family_.spent_cpu_us)};
    list.insert(list.end(), plan_.monitor_arguments.begin(), plan_.monitor_arguments.end());
    return list;
  }();
  std::vector<char*> argv;
  for (const std::string& word : words) {
    argv.push_back(const_cast<char*>(word.c_str()));  // execve(2) does not write to it
  }
  argv.push_back(nullptr);
  char* const no_environment[] = {nullptr};
  ::execve(("/" + host_.program.name).c_str(), argv.data(), no_environment);
  return Error::host(errno, "Failed to exec into " + host_.program.path);
}

int Jail::fail(const Error& error) {
  if (family_.report.valid()) {
    (void)!::write(family_.report.raw(), error.text().data(), error.text().size());
    ::_exit(1);  // the jailer that was started takes everything back and says why
  }
  if (host_.own_mounts.valid()) {
    (void)::setns(host_.own_mounts.raw(), CLONE_NEWNS);  // mounts of ours would keep folders from being removed
  }
  undo_.run();
  std::fprintf(stderr, "wisp-jailer: %s\n", error.text().c_str());
  return 1;
}

int Jail::enter() {
  if (Status prepared = prepare_outside(); !prepared.ok()) {
    return fail(prepared.error());
  }
  auto place = split_family(plan_, [this](pid_t pid) { return record_pid(tree_, host_.program.name, pid); });
  if (!place.ok()) {
    return fail(place.error());
  }
  family_ = std::move(place).value();
  if (family_.role == Role::Parent) {
    return 0;
  }
  Status done = confine_self();
  if (done.ok()) {
    done = execute();
  }
  return fail(done.error());
}

}  // namespace wisp
