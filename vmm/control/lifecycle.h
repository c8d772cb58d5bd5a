// Which command is allowed in which phase of the machine's life; the table is the rule.
#pragma once

#include "vmm/config/command.h"

namespace wisp {

enum class Phase { BeforeStart, AfterStart };
enum class Allowed { Always, BeforeStart, AfterStart };

/// The row of `command` in the table.
Allowed allowed_phase(const Command& command);
/// Whether no snapshot can be loaded any more once `command` was tried: it configures a machine to boot.
bool blocks_load(const Command& command);
/// Refuses a command that comes in the wrong phase.
Status check_phase(const Command& command, Phase phase);

}  // namespace wisp
