// Network interfaces in JSON.
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/net.h"

namespace wisp::api {

/// Body of PUT: iface_id and host_dev_name, and what else is wanted.
Result<NetConfig> decode_net(const Json& json);
/// Body of PATCH: rate limiters only.
Result<NetPatch> decode_net_patch(const Json& json);
void write_net(JsonWriter& json, const NetConfig& net);

}  // namespace wisp::api
