// What the monitor loses before it runs: limits, signals, identity, capabilities, and every way to get more.
//
// The order is forced by the kernel: the bounding set and the securebits can be changed only with CAP_SETPCAP, groups
// and ids only with CAP_SETGID and CAP_SETUID, so capabilities go last; no_new_privs keeps execve from giving any back.
#pragma once

#include <sys/types.h>

#include "jailer/jail/plan.h"

namespace wisp {

/// Every signal unblocked and at its default: ignored and blocked ones would outlive execve, and a parent that blocks
/// SIGTERM would make a monitor that cannot be stopped.
Status reset_signals();
/// File size, open files, no core dump; hard limits equal soft ones.
Status set_limits(const ResourceLimits& limits);
/// Leaves the caller's session, or at least its terminal: nobody can push characters into it.
void leave_terminal();
/// A new, empty session keyring: the caller's keys stay behind.
Status leave_keyring();
/// Groups, ids and capabilities; verified by asking for them back.
Status drop_privileges(uid_t uid, gid_t gid);

}  // namespace wisp
