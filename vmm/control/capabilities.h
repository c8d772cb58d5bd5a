// Fills in Capabilities: the build's part from the constants that the code goes by, the host's part by trying.
//
//   Capabilities answer = build_capabilities();
//   answer.host = probe_host({.landlock_abi = 6, .seccomp = SystemCallFilters::On});
//
// Nothing that is tried stays: each probe undoes itself. A probe fails with the error that using the thing would have.
#pragma once

#include "vmm/config/capabilities.h"

namespace wisp {

enum class SystemCallFilters { Off, On };

/// What the program found out about itself at its start.
struct ProcessFacts {
  int landlock_abi = 0;
  SystemCallFilters filters = SystemCallFilters::Off;
};

Capabilities build_capabilities();
/// Needs the rights of a monitor whose machine is not built yet (ThreadKind::Setup).
HostCapabilities probe_host(const ProcessFacts& facts);

}  // namespace wisp
