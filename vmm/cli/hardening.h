// What the monitor's process gives up at its start, jailed or not, before there is a second thread.
//
//   const HardeningReport report = harden_process();   // then log what the kernel did not have
//
// No privileges by exec, not dumpable, no core file, no memory that is or becomes executable, sealed code and
// constants, and Landlock: no file is ever executed, no device, folder, link or FIFO made, no TCP connection, no
// abstract socket and no signal outside, device ioctls only on KVM, TAP and userfault nodes; on request, no file
// outside the folders that the operator names (landlock.h).
#pragma once

#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/cli/landlock.h"

namespace wisp {

struct HardeningReport {
  int landlock_abi = 0;              ///< 0: the kernel has no Landlock
  std::vector<std::string> missing;  ///< what this kernel cannot do
};

/// An Error only when `paths` ask for a restriction that this kernel cannot do, or name what is not there.
Result<HardeningReport> harden_process(const PathRules& paths);

}  // namespace wisp
