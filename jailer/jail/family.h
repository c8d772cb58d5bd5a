// Family: the processes between the jailer that was started and the monitor, and how failures travel back to it.
//
//   auto place = WISP_TRY(split_family(plan, record));
//   place.role == Role::Monitor: go on, and end with execve; on failure tell(place, text) and exit
//   place.role == Role::Parent:  the monitor runs and is recorded; exit 0
//   an Error:                    the monitor could not be started; everybody else is gone, undo
//
// Rules: a parent waits until the monitor has been executed or has failed. The monitor's process does not go on before
// its parent has written its pid down, so there is never a running monitor without its record. A failure's text reaches
// the standard error of the jailer that was started, however many processes lie between, and its exit code is 1.
#pragma once

#include <cstdint>
#include <functional>

#include "jailer/jail/plan.h"
#include "vmm/base/fd.h"

namespace wisp {

enum class Role { Parent, Monitor };

struct FamilyPlace {
  Role role = Role::Monitor;
  Fd report;                       ///< where the monitor's process tells its failure; closed by execve
  std::uint64_t spent_cpu_us = 0;  ///< by the processes above
};

using RecordPid = std::function<Status(pid_t)>;

/// Forks as the plan wants it: twice for a daemon, once for a PID namespace, not at all otherwise. `record` is called
/// with the monitor's pid as the host sees it, in whichever process knows it.
Result<FamilyPlace> split_family(const JailPlan& plan, const RecordPid& record);

}  // namespace wisp
