#include "api/codec_reply.h"

#include "api/codec_balloon.h"
#include "api/codec_boot.h"
#include "api/codec_capabilities.h"
#include "api/codec_drive.h"
#include "api/codec_entropy.h"
#include "api/codec_machine.h"
#include "api/codec_memory_hotplug.h"
#include "api/codec_mmds.h"
#include "api/codec_net.h"
#include "api/codec_pmem.h"
#include "api/codec_vsock.h"
#include "api/json_writer.h"
#include "vmm/base/version.h"

namespace wisp::api {
namespace {

std::string_view name_of(VmState state) {
  switch (state) {
    case VmState::Running: return "Running";
    case VmState::Paused: return "Paused";
    case VmState::NotStarted: break;
  }
  return "Not started";
}

std::string body_of(const Unit& /*nothing*/) {
  return {};
}

std::string body_of(const InstanceInfo& info) {
  JsonWriter json;
  json.open_object();
  json.key("id").string(info.id);
  json.key("state").string(name_of(info.state));
  json.key("vmm_version").string(kWispVersion);
  json.key("app_name").string("wisp");
  json.close_object();
  return json.take();
}

std::string body_of(const MachineConfig& config) {
  JsonWriter json;
  write_machine(json, config);
  return json.take();
}

std::string body_of(const BalloonConfig& config) {
  JsonWriter json;
  write_balloon(json, config);
  return json.take();
}

std::string body_of(const BalloonStatistics& statistics) {
  JsonWriter json;
  write_balloon_statistics(json, statistics);
  return json.take();
}

std::string body_of(const BalloonHintingStatus& status) {
  JsonWriter json;
  write_hinting_status(json, status);
  return json.take();
}

std::string body_of(const MemoryHotplugStatus& status) {
  JsonWriter json;
  write_memory_hotplug_status(json, status);
  return json.take();
}

std::string body_of(const Capabilities& capabilities) {
  JsonWriter json;
  write_capabilities(json, capabilities);
  return json.take();
}

std::string body_of(const MmdsContents& contents) {
  return contents.json;
}

template <typename T>
void write_optional(JsonWriter& json, const std::optional<T>& value, void (*write)(JsonWriter&, const T&)) {
  if (value) {
    write(json, *value);
  } else {
    json.null();
  }
}

template <typename T>
void write_list(JsonWriter& json, const std::vector<T>& values, void (*write)(JsonWriter&, const T&)) {
  json.open_array();
  for (const T& value : values) {
    write(json, value);
  }
  json.close_array();
}

/// All thirteen sections, in the order of the API; clients compare the whole. Three of them are always null.
std::string body_of(const FullConfig& config) {
  JsonWriter json;
  json.open_object();
  json.key("balloon");
  write_optional(json, config.balloon, write_balloon);
  json.key("drives");
  write_list(json, config.drives, write_drive);
  json.key("boot-source");
  write_boot_source(json, config.boot_source);
  json.key("cpu-config").null();
  json.key("logger").null();
  json.key("machine-config");
  write_machine(json, config.machine);
  json.key("metrics").null();
  json.key("mmds-config");
  write_optional(json, config.mmds, write_mmds_config);
  json.key("network-interfaces");
  write_list(json, config.network_interfaces, write_net);
  json.key("vsock");
  write_optional(json, config.vsock, write_vsock);
  json.key("entropy");
  write_optional(json, config.entropy, write_entropy);
  json.key("pmem");
  write_list(json, config.pmem, write_pmem);
  json.key("memory-hotplug");
  write_optional(json, config.memory_hotplug, write_memory_hotplug);
  json.close_object();
  return json.take();
}

}  // namespace

std::string version_body() {
  JsonWriter json;
  json.open_object().key("firecracker_version").string(kApiVersion).close_object();
  return json.take();
}

std::string reply_body(const Reply& reply) {
  return std::visit([](const auto& value) { return body_of(value); }, reply);
}

}  // namespace wisp::api
