// Persistent memory devices in JSON.
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/pmem.h"

namespace wisp::api {

Result<PmemConfig> decode_pmem(const Json& json);
/// Body of PATCH: a rate limiter only.
Result<PmemPatch> decode_pmem_patch(const Json& json);
void write_pmem(JsonWriter& json, const PmemConfig& pmem);

}  // namespace wisp::api
