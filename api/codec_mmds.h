// The metadata service in JSON. The store itself goes through as text: only the service looks inside.
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/mmds.h"

namespace wisp::api {

Result<MmdsConfig> decode_mmds_config(const Json& json);
void write_mmds_config(JsonWriter& json, const MmdsConfig& config);

}  // namespace wisp::api
