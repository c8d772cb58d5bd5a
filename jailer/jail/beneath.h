// Files below a descriptor: the only way in which the jailer touches names inside a jail or a cgroup tree.
//
// Rules: every name is resolved by openat2 below an open folder, with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
// RESOLVE_NO_MAGICLINKS; what was opened is checked through its descriptor and then used through it. A name is never
// looked up again after a check. Paths that the operator names on the command line (program, base folder, network
// namespace) are the operator's own and may be symlinks; they are opened once.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "jailer/jail/undo.h"
#include "vmm/base/fd.h"
#include "vmm/base/result.h"

namespace wisp {

inline constexpr std::uint64_t kMaxSmallFileBytes = 1 << 20;

/// Never blocks (a FIFO), never follows a symlink, never leaves `folder`. errno tells why it failed.
Fd open_beneath(FdRef folder, const char* name, int flags, mode_t mode = 0);

/// A place in a jail: an open folder and its path, which is for messages only.
struct Folder {
  Fd fd;
  std::string path;
};

/// Who may own a folder that was there before us, besides root.
struct Trust {
  uid_t also = 0;
};

/// Opens `name` below `parent` if it is there. Refuses anything but a folder, a symlink, a foreign owner, and a folder
/// that others may write without the sticky bit: who can exchange names under us could make us write elsewhere.
Result<std::optional<Folder>> open_folder(const Folder& parent, const std::string& name, Trust trust);
/// The same, creating it (root's, mode 0755) when it is not there.
Result<Folder> ensure_folder(const Folder& parent, const std::string& name, Trust trust, UndoLog& undo);
Status check_folder(const struct stat& status, const std::string& path, Trust trust);
/// Sets owner and mode through the descriptor.
Status own_folder(const Folder& folder, uid_t uid, gid_t gid, mode_t mode, UndoLog& undo);

/// What stands at `name`, symlinks not followed; nothing when the name is free.
Result<std::optional<struct stat>> look_at(const Folder& folder, const std::string& name);

/// Reads a small file whole (cgroup files, /proc).
Result<std::string> read_small(FdRef fd, const std::string& path);
/// Writes `text` by one write(2), as cgroup files want it.
Status write_once(FdRef fd, const std::string& text, const std::string& path);
/// The path of what is open, as the kernel knows it.
Result<std::string> path_of(FdRef fd, const std::string& fallback);

}  // namespace wisp
