#include "api/codec_pmem.h"

#include <nlohmann/json.hpp>

#include "api/codec_drive.h"
#include "api/codec_limiter.h"
#include "api/fields.h"

namespace wisp::api {

Result<PmemConfig> decode_pmem(const Json& json) {
  PmemConfig pmem;
  FieldReader fields(json);
  fields.required("id", pmem.id);
  fields.required("path_on_host", pmem.path_on_host);
  fields.defaulted("root_device", pmem.root_device);
  fields.defaulted("read_only", pmem.read_only);
  pmem.limits_given = fields.non_null_member("rate_limiter") != nullptr;
  read_limiter(fields, "rate_limiter", pmem.limits);
  fields.refuse_nul("path_on_host", pmem.path_on_host);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  WISP_TRY(check_resource_id(pmem.id));
  return pmem;
}

Result<PmemPatch> decode_pmem_patch(const Json& json) {
  PmemPatch patch;
  FieldReader fields(json);
  fields.required("id", patch.id);
  read_limiter(fields, "rate_limiter", patch.limits);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  WISP_TRY(check_resource_id(patch.id));
  return patch;
}

void write_pmem(JsonWriter& json, const PmemConfig& pmem) {
  json.open_object();
  json.key("id").string(pmem.id);
  json.key("path_on_host").string(pmem.path_on_host);
  json.key("root_device").truth(pmem.root_device);
  json.key("read_only").truth(pmem.read_only);
  json.key("rate_limiter");
  if (pmem.limits_given) {
    write_limiter_as_given(json, pmem.limits);
  } else {
    json.null();
  }
  json.close_object();
}

}  // namespace wisp::api
