// Jail: enters a plan, in one fixed order, and becomes the monitor.
//
//   std::exit(Jail(plan, std::move(host), times).enter());
//
// Order and reasons (docs/jailer.md has the table):
//   files      folders, program and device nodes, by descriptors, while failures can still be undone from outside
//   network    the namespace's descriptor was opened in the host's view
//   cgroup     its paths vanish with the old root; what follows is already accounted to the group
//   processes  daemon and PID namespace: the parent keeps the power to undo, and writes the pid down first
//   namespaces mount, IPC, UTS, cgroup; then private mounts, pivot_root, flags
//   limits     after the last file that the jailer itself writes
//   identity   bounding set, securebits, no_new_privs, groups, ids, capabilities: last, each step needs the one before
//   it execve     nothing can be undone any more, which is why the program was inspected first
//
// A failure before `identity` takes everything back. Nothing goes on after a failed step.
#pragma once

#include "jailer/jail/family.h"
#include "jailer/jail/host_view.h"
#include "jailer/jail/plan.h"
#include "jailer/jail/tree.h"
#include "jailer/jail/undo.h"

namespace wisp {

/// When the jailer began; the monitor reports its start-up time from there.
struct StartTimes {
  std::uint64_t monotonic_us = 0;
  std::uint64_t cpu_us = 0;
};

/// Before anything else: no inherited descriptor beyond the standard three, which are all there; no environment; umask.
Status shed_inheritance();

class Jail {
 public:
  Jail(const JailPlan& plan, HostView host, StartTimes times) : plan_(plan), host_(std::move(host)), times_(times) {}

  /// Does not return in the process that becomes the monitor. Otherwise: the exit code (0: the monitor runs in another
  /// process, which is recorded), with the failure's line written to standard error.
  int enter();

 private:
  Status prepare_outside();
  Status confine_self();
  Status become_daemon();
  Status execute();
  int fail(const Error& error);

  const JailPlan& plan_;
  HostView host_;
  StartTimes times_;
  JailTree tree_;
  UndoLog undo_;
  FamilyPlace family_;
};

}  // namespace wisp
