#include "api/codec_reply.h"

#include "api/codec_boot.h"
#include "api/codec_drive.h"
#include "api/codec_machine.h"
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

/// All thirteen sections, those that wisp does not have as null or empty list: clients compare the whole.
std::string body_of(const FullConfig& config) {
  JsonWriter json;
  json.open_object();
  json.key("balloon").null();
  json.key("drives").open_array();
  for (const DriveConfig& drive : config.drives) {
    write_drive(json, drive);
  }
  json.close_array();
  json.key("boot-source");
  write_boot_source(json, config.boot_source);
  json.key("cpu-config").null();
  json.key("logger").null();
  json.key("machine-config");
  write_machine(json, config.machine);
  json.key("metrics").null();
  json.key("mmds-config").null();
  json.key("network-interfaces").open_array().close_array();
  json.key("vsock").null();
  json.key("entropy").null();
  json.key("pmem").open_array().close_array();
  json.key("memory-hotplug").null();
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
