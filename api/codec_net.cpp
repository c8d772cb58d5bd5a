#include "api/codec_net.h"

#include <nlohmann/json.hpp>
#include <string>

#include "api/codec_drive.h"
#include "api/codec_limiter.h"
#include "api/fields.h"
#include "vmm/base/mac_address.h"

namespace wisp::api {
namespace {

void read_mac(FieldReader& fields, std::optional<MacAddress>& out) {
  std::optional<std::string> text;
  fields.optional("guest_mac", text);
  if (!text) {
    return;
  }
  out = parse_mac(*text);
  if (!out) {
    fields.fail(
        "field `guest_mac`: The provided MAC address is invalid. Write six bytes in hexadecimal, like "
        "06:00:00:00:00:01");
  } else if (((*out)[0] & 1U) != 0 || *out == MacAddress{}) {
    fields.fail("field `guest_mac`: The provided MAC address is invalid: it is a multicast address or all zeros");
  }
}

}  // namespace

Result<NetConfig> decode_net(const Json& json) {
  NetConfig net;
  FieldReader fields(json);
  fields.required("iface_id", net.iface_id);
  fields.required("host_dev_name", net.host_dev_name);
  read_mac(fields, net.guest_mac);
  fields.optional("mtu", net.mtu);
  read_limiter(fields, "rx_rate_limiter", net.rx_limits);
  read_limiter(fields, "tx_rate_limiter", net.tx_limits);
  fields.refuse_nul("host_dev_name", net.host_dev_name);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  WISP_TRY(check_resource_id(net.iface_id));
  return net;
}

Result<NetPatch> decode_net_patch(const Json& json) {
  NetPatch patch;
  FieldReader fields(json);
  fields.required("iface_id", patch.iface_id);
  read_limiter(fields, "rx_rate_limiter", patch.rx_limits);
  read_limiter(fields, "tx_rate_limiter", patch.tx_limits);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  WISP_TRY(check_resource_id(patch.iface_id));
  return patch;
}

void write_net(JsonWriter& json, const NetConfig& net) {
  json.open_object();
  json.key("iface_id").string(net.iface_id);
  json.key("host_dev_name").string(net.host_dev_name);
  json.key("guest_mac");
  if (net.guest_mac) {
    json.string(mac_text(*net.guest_mac));
  } else {
    json.null();
  }
  json.key("mtu").optional_number(net.mtu);
  json.key("rx_rate_limiter");
  write_limiter(json, net.rx_limits);
  json.key("tx_rate_limiter");
  write_limiter(json, net.tx_limits);
  json.close_object();
}

}  // namespace wisp::api
