#include "api/codec_mmds.h"

#include <arpa/inet.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "api/fields.h"

namespace wisp::api {
namespace {

constexpr EnumName<MmdsVersion> kVersions[] = {{"V1", MmdsVersion::V1}, {"V2", MmdsVersion::V2}};

void read_interfaces(FieldReader& fields, std::vector<std::string>& out) {
  const Json* list = fields.member("network_interfaces");
  if (list == nullptr) {
    fields.fail("missing field `network_interfaces`");
    return;
  }
  if (!list->is_array()) {
    fields.fail("field `network_interfaces`: invalid type: expected a list of strings");
    return;
  }
  for (const Json& each : *list) {
    if (!each.is_string()) {
      fields.fail("field `network_interfaces`: invalid type: expected a list of strings");
      return;
    }
    out.push_back(each.get_ref<const std::string&>());
  }
}

void read_address(FieldReader& fields, std::optional<Ipv4Address>& out) {
  std::optional<std::string> text;
  fields.optional("ipv4_address", text);
  if (!text) {
    return;
  }
  Ipv4Address address{};
  const bool has_nul = text->find('\0') != std::string::npos;
  if (has_nul || ::inet_pton(AF_INET, text->c_str(), address.data()) != 1) {
    fields.fail("field `ipv4_address`: invalid value: expected an IPv4 address like 169.254.169.254");
    return;
  }
  out = address;
}

std::string address_text(const Ipv4Address& address) {
  std::string text;
  for (const std::uint8_t byte : address) {
    text += (text.empty() ? "" : ".") + std::to_string(byte);
  }
  return text;
}

}  // namespace

Result<MmdsConfig> decode_mmds_config(const Json& json) {
  MmdsConfig config;
  FieldReader fields(json);
  fields.defaulted("version", kVersions, config.version);
  read_interfaces(fields, config.network_interfaces);
  read_address(fields, config.ipv4_address);
  fields.defaulted("imds_compat", config.imds_compat);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return config;
}

void write_mmds_config(JsonWriter& json, const MmdsConfig& config) {
  json.open_object();
  json.key("version").string(name_of(kVersions, config.version));
  json.key("network_interfaces").open_array();
  for (const std::string& id : config.network_interfaces) {
    json.string(id);
  }
  json.close_array();
  json.key("ipv4_address").string(address_text(config.ipv4_address.value_or(kDefaultMmdsAddress)));
  json.key("imds_compat").truth(config.imds_compat);
  json.close_object();
}

}  // namespace wisp::api
