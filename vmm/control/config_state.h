// The configuration of a machine as a section of its snapshot: what GET /vm/config shows, and what the machine is built
// from again.
#pragma once

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "vmm/config/command.h"

namespace wisp {

/// Longest path, id or argument list, and the most devices of a kind, that a snapshot may hold.
inline constexpr std::size_t kMaxSavedTextBytes = 4096;
inline constexpr std::size_t kMaxSavedDevices = 32;

void save_config(const FullConfig& config, StateWriter& out);
/// Every value is as untrusted as an API request, and checked as one when the machine is built.
Result<FullConfig> restore_config(StateReader& in);

}  // namespace wisp
