// What an operator does with snapshot files, without a machine:
//
//   wisp snapshot describe STATE           what is in it
//   wisp snapshot check STATE              would it run on this host, and if not, why
//   wisp snapshot edit STATE CHANGE...     other paths in it (snapshot_edit.h)
//   wisp snapshot merge BASE DIFF          copies the pages of a diff's memory file into its base
//   wisp --describe-snapshot STATE         the same as describe
//   wisp --snapshot-version                the format that this program writes
#pragma once

#include <optional>
#include <span>
#include <string>

#include "vmm/base/exit_code.h"
#include "vmm/base/manual.h"
#include "vmm/cli/snapshot_edit.h"

namespace wisp {

extern const ManualPage kSnapshotPage;

/// Carries the command out and prints its result; nothing when the words ask for something else. `describe` makes the
/// manifest of an edited file.
std::optional<ExitCode> run_snapshot_command(std::span<char* const> words, const DescribeConfig& describe);

}  // namespace wisp
