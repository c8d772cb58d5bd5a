// What the build and the host can do, as JSON: GET /capabilities.
#pragma once

#include "api/json_writer.h"
#include "vmm/config/capabilities.h"

namespace wisp::api {

void write_capabilities(JsonWriter& json, const Capabilities& capabilities);

}  // namespace wisp::api
