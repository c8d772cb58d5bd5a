// The jail's view of the file system: a new mount namespace whose root is the jail's root folder and nothing else.
//
// Order: stand in the root folder (its descriptor, no path) -> new mount, IPC, UTS and cgroup namespaces -> no mount
// event travels to or from the host -> a recursive copy of the root folder's mounts becomes the new root (what the
// orchestrator mounted inside stays visible) -> pivot_root, and the old root is detached -> flags.
//
// Flags: root is nosuid, noexec, nodev; the program is mounted over itself read-only and executable; /dev is read-only,
// nosuid, noexec; /run is nosuid, noexec, nodev. Root keeps device nodes usable when the orchestrator put some there,
// and stays executable for a dynamically linked program (its libraries are there).
#pragma once

#include "jailer/jail/plan.h"
#include "jailer/jail/program.h"
#include "jailer/jail/tree.h"

namespace wisp {

/// The id becomes the host name, so that the jail does not tell its host's.
Status enter_namespaces(const JailTree& tree, const std::string& id);
Status pivot_into(const JailTree& tree);
Status set_mount_flags(const JailTree& tree, const Program& program);
/// Proof, not belief: the root is the jail's folder, and nothing lies above it.
Status verify_root(const JailTree& tree);

}  // namespace wisp
