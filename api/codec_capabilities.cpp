#include "api/codec_capabilities.h"

#include "vmm/base/version.h"

namespace wisp::api {
namespace {

void write_availability(JsonWriter& json, const Availability& thing) {
  json.open_object();
  json.key("name").string(thing.name);
  json.key("available").truth(!thing.obstacle);
  json.key("obstacle").optional_string(thing.obstacle);
  json.close_object();
}

void write_things(JsonWriter& json, const std::vector<Availability>& things) {
  json.open_array();
  for (const Availability& thing : things) {
    write_availability(json, thing);
  }
  json.close_array();
}

void write_names(JsonWriter& json, const std::vector<const char*>& names) {
  json.open_array();
  for (const char* name : names) {
    json.string(name);
  }
  json.close_array();
}

void write_features(JsonWriter& json, const std::vector<Feature>& features) {
  json.open_object();
  for (const Feature& feature : features) {
    json.key(feature.name).truth(feature.supported);
  }
  json.close_object();
}

void write_limit(JsonWriter& json, const Limit& limit) {
  json.open_object();
  json.key("name").string(limit.name);
  json.key("value").number(limit.value);
  json.key("unit").string(limit.unit);
  json.close_object();
}

void write_host(JsonWriter& json, const HostCapabilities& host) {
  json.open_object();
  json.key("kvm");
  write_availability(json, host.kvm);
  json.key("kvm_max_vcpus").number(host.kvm_max_vcpus);
  json.key("block_engines");
  write_things(json, host.block_engines);
  json.key("huge_pages");
  write_things(json, host.huge_pages);
  json.key("userfaultfd");
  write_availability(json, host.userfaultfd);
  json.key("cpu_templates");
  write_things(json, host.cpu_templates);
  json.key("landlock_abi").number(static_cast<std::uint64_t>(host.landlock_abi));
  json.key("seccomp").truth(host.seccomp);
  json.close_object();
}

}  // namespace

void write_capabilities(JsonWriter& json, const Capabilities& capabilities) {
  json.open_object();
  json.key("api_version").string(kApiVersion);
  json.key("wisp_version").string(kWispVersion);
  json.key("snapshot_version").string(capabilities.snapshot_version);
  json.key("transports");
  write_names(json, capabilities.transports);
  json.key("devices");
  write_names(json, capabilities.devices);
  json.key("features");
  write_features(json, capabilities.features);
  json.key("limits").open_array();
  for (const Limit& limit : capabilities.limits) {
    write_limit(json, limit);
  }
  json.close_array();
  json.key("host");
  if (capabilities.host) {
    write_host(json, *capabilities.host);
  } else {
    json.null();
  }
  json.close_object();
}

}  // namespace wisp::api
