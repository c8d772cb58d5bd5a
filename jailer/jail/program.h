// Program: the monitor's file, opened once, checked, and copied into the jail as a new file.
//
// The copy belongs to root and cannot be read or written by the monitor itself: 0711. A program that its user cannot
// read is run "not dumpable" by the kernel from its first instruction (execve(2)), which no call of the jailer before
// execve could bring about. A hard link instead of a copy would share the original's inode with the jail.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "jailer/jail/beneath.h"

namespace wisp {

inline constexpr mode_t kProgramMode = 0711;
inline constexpr std::uint64_t kMaxProgramBytes = std::uint64_t{1} << 30;

struct Program {
  Fd fd;
  std::string path;  ///< canonical
  std::string name;  ///< its last part; names the jail's folder, the copy, the process and the pid file
  struct stat status {};
  std::optional<std::string> interpreter;  ///< of a dynamically linked program; must be in the jail
};

Result<Program> open_program(const std::string& path);
/// A name is free, or holds a plain file with one link that can be replaced.
Status check_program_place(const Folder& root, const std::string& name);
Status copy_program(const Program& program, const Folder& root, UndoLog& undo);

}  // namespace wisp
