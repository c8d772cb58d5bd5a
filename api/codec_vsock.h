// The vsock device in JSON.
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/vsock.h"

namespace wisp::api {

Result<VsockConfig> decode_vsock(const Json& json);
void write_vsock(JsonWriter& json, const VsockConfig& vsock);

}  // namespace wisp::api
