// Actions and state changes from JSON: PUT /actions, PATCH /vm.
#pragma once

#include "api/json_value.h"
#include "vmm/base/result.h"
#include "vmm/config/command.h"

namespace wisp::api {

/// InstanceStart, FlushMetrics or SendCtrlAltDel.
Result<Command> decode_action(const Json& json);
/// PauseVm or ResumeVm.
Result<Command> decode_vm_state(const Json& json);

}  // namespace wisp::api
