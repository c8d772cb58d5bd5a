// Which files the monitor may still name, by Landlock: it holds for every thread that begins later, whatever a system
// call filter lets through.
//
//   enter_landlock({{"/srv/vm1"}, {"/etc/vm1.json"}, "/run/wisp.sock"})   // at the start, before there is a second
//   thread close_file_system()                                                    // once nobody can ask for a file any
//   more
//
// Without folders the operator's requests may name any file: which ones is not known at the start, and a jail's root
// folder is the limit (docs/jailer.md). What is forbidden in any case is in hardening.h. With folders (--allow-path)
// everything that a request or a configuration file names must lie below one of them; the files of the command line
// itself, the API socket's name and the device nodes are allowed besides. A restriction that the kernel cannot do is an
// error, never a warning: it was asked for.
#pragma once

#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace wisp {

struct PathRules {
  std::vector<std::string> folders;  ///< none: any file may be named
  std::vector<std::string> files;    ///< those that exist may be opened too
  std::string socket;                ///< may be made
};

/// The Landlock ABI in force; 0 when the kernel has none and none was asked for.
Result<int> enter_landlock(const PathRules& paths);

/// From here on the calling thread, and what it starts, opens and makes nothing at all. False: the kernel cannot.
bool close_file_system();

}  // namespace wisp
