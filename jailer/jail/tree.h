// JailTree: the files of one jail, made through descriptors only.
//
//   BASE/NAME/ID/root/          root:GID   1770   the monitor may make files here, but not remove root's
//   BASE/NAME/ID/root/NAME      root:root  0711   the program, a new copy at each start
//   BASE/NAME/ID/root/NAME.pid  root:root  0644   the host's pid of the monitor
//   BASE/NAME/ID/root/dev/...   root:GID   0710   kvm, net/tun, userfaultfd: UID:GID 0600
//   BASE/NAME/ID/root/run/      UID:GID    0700   the API socket
//
// Rules: the orchestrator may have made any of these folders before, with files of its own inside (kernel, disks,
// FIFOs); those are left alone. A lock on the root folder keeps two starts with the same id apart; a pid file that is
// there already means that a monitor may be running in it, and refuses the start.
#pragma once

#include "jailer/jail/host_view.h"
#include "jailer/jail/plan.h"
#include "jailer/jail/undo.h"

namespace wisp {

struct JailTree {
  Folder name;
  Folder id;
  Folder root;
  Folder dev;
  Folder net;  ///< only with the tun device
  Folder run;
  DiskNodes disk_nodes = DiskNodes::WhenFound;  ///< Allowed: device nodes of the orchestrator were found, or asked for
};

/// What must hold before a start in an existing root folder; changes nothing.
Status check_jail_root(const Folder& root, const JailPlan& plan, const HostView& host);
/// Makes the whole tree. `tree` must outlive `undo`, whose entries use its descriptors.
Status make_tree(const JailPlan& plan, const HostView& host, JailTree& tree, UndoLog& undo);
/// Writes NAME.pid, complete from the moment it is there; never over an existing one.
Status record_pid(const JailTree& tree, const std::string& program_name, pid_t pid);

}  // namespace wisp
