#include "api/codec_vsock.h"

#include <nlohmann/json.hpp>
#include <string>

#include "api/fields.h"

namespace wisp::api {

Result<VsockConfig> decode_vsock(const Json& json) {
  VsockConfig vsock;
  FieldReader fields(json);
  fields.required("guest_cid", vsock.guest_cid);
  fields.required("uds_path", vsock.uds_path);
  fields.optional("vsock_id", vsock.vsock_id);
  fields.refuse_nul("uds_path", vsock.uds_path);
  if (vsock.guest_cid < kMinGuestCid) {
    fields.fail("field `guest_cid`: invalid value: integer `" + std::to_string(vsock.guest_cid) +
                "`, expected at least " + std::to_string(kMinGuestCid) + " (lower ones are reserved)");
  }
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return vsock;
}

void write_vsock(JsonWriter& json, const VsockConfig& vsock) {
  json.open_object();
  json.key("guest_cid").number(vsock.guest_cid);
  json.key("uds_path").string(vsock.uds_path);
  json.close_object();
}

}  // namespace wisp::api
