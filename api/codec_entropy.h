// The entropy device in JSON.
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/entropy.h"

namespace wisp::api {

Result<EntropyConfig> decode_entropy(const Json& json);
void write_entropy(JsonWriter& json, const EntropyConfig& entropy);

}  // namespace wisp::api
