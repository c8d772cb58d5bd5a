#include "api/codec_memory_hotplug.h"

#include <nlohmann/json.hpp>

#include "api/fields.h"

namespace wisp::api {

Result<MemoryHotplugConfig> decode_memory_hotplug(const Json& json) {
  MemoryHotplugConfig config;
  FieldReader fields(json);
  fields.required("total_size_mib", config.total_size_mib);
  fields.defaulted("block_size_mib", config.block_size_mib);
  fields.defaulted("slot_size_mib", config.slot_size_mib);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return config;
}

Result<PatchMemoryHotplug> decode_memory_hotplug_patch(const Json& json) {
  PatchMemoryHotplug patch;
  FieldReader fields(json);
  fields.required("requested_size_mib", patch.requested_size_mib);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return patch;
}

void write_memory_hotplug(JsonWriter& json, const MemoryHotplugConfig& config) {
  json.open_object();
  json.key("total_size_mib").number(config.total_size_mib);
  json.key("block_size_mib").number(config.block_size_mib);
  json.key("slot_size_mib").number(config.slot_size_mib);
  json.close_object();
}

void write_memory_hotplug_status(JsonWriter& json, const MemoryHotplugStatus& status) {
  json.open_object();
  json.key("block_size_mib").number(status.config.block_size_mib);
  json.key("total_size_mib").number(status.config.total_size_mib);
  json.key("slot_size_mib").number(status.config.slot_size_mib);
  json.key("plugged_size_mib").number(status.plugged_size_mib);
  json.key("requested_size_mib").number(status.requested_size_mib);
  json.close_object();
}

}  // namespace wisp::api
