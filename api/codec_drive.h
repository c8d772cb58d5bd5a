// Drive <-> JSON: PUT /drives/{drive_id}, section "drives".
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/drive.h"

namespace wisp::api {

/// "API Resource IDs can only contain …": every id that comes in passes through here.
Status check_resource_id(std::string_view id);

Result<DriveConfig> decode_drive(const Json& json);
/// Body of PATCH: another file, other limits.
Result<DrivePatch> decode_drive_patch(const Json& json);
void write_drive(JsonWriter& json, const DriveConfig& drive);

}  // namespace wisp::api
