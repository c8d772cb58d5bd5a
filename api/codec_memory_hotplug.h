// Hot-pluggable memory in JSON.
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/command.h"

namespace wisp::api {

Result<MemoryHotplugConfig> decode_memory_hotplug(const Json& json);
Result<PatchMemoryHotplug> decode_memory_hotplug_patch(const Json& json);
void write_memory_hotplug(JsonWriter& json, const MemoryHotplugConfig& config);
void write_memory_hotplug_status(JsonWriter& json, const MemoryHotplugStatus& status);

}  // namespace wisp::api
