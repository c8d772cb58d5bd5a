#include "api/config_file.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "api/codec_balloon.h"
#include "api/codec_boot.h"
#include "api/codec_cpu.h"
#include "api/codec_drive.h"
#include "api/codec_entropy.h"
#include "api/codec_machine.h"
#include "api/codec_memory_hotplug.h"
#include "api/codec_mmds.h"
#include "api/codec_net.h"
#include "api/codec_observe.h"
#include "api/codec_pmem.h"
#include "api/codec_vsock.h"
#include "api/fields.h"
#include "api/json_value.h"

namespace wisp::api {
namespace {

/// A null list is a mistake in the API's own file format; any other null says the same as absence.
enum class Presence { Required, Optional, RequiredList, OptionalList };

struct Section {
  std::string_view name;
  Presence presence;
  Result<Command> (*decode)(const Json&);
};

template <typename Message, typename Config, Result<Config> (*kDecode)(const Json&)>
Result<Command> as_command(const Json& json) {
  return Command(Message{WISP_TRY(kDecode(json))});
}

Result<Command> machine_command(const Json& json) {
  return Command(PutMachineConfig{WISP_TRY(decode_machine(json)).config});
}

/// In the order of application: the metadata service names network interfaces, the balloon asks for the memory's size.
constexpr Section kSections[] = {
    {"logger", Presence::Optional, as_command<PutLogger, LoggerConfig, decode_logger>},
    {"metrics", Presence::Optional, as_command<PutMetrics, MetricsConfig, decode_metrics>},
    {"machine-config", Presence::Optional, machine_command},
    {"cpu-config", Presence::Optional, as_command<PutCpuConfig, CustomCpuTemplate, decode_cpu_config>},
    {"boot-source", Presence::Required, as_command<PutBootSource, BootSource, decode_boot_source>},
    {"drives", Presence::RequiredList, as_command<PutDrive, DriveConfig, decode_drive>},
    {"network-interfaces", Presence::OptionalList, as_command<PutNetworkInterface, NetConfig, decode_net>},
    {"pmem", Presence::OptionalList, as_command<PutPmem, PmemConfig, decode_pmem>},
    {"vsock", Presence::Optional, as_command<PutVsock, VsockConfig, decode_vsock>},
    {"balloon", Presence::Optional, as_command<PutBalloon, BalloonConfig, decode_balloon>},
    {"entropy", Presence::Optional, as_command<PutEntropy, EntropyConfig, decode_entropy>},
    {"memory-hotplug", Presence::Optional, as_command<PutMemoryHotplug, MemoryHotplugConfig, decode_memory_hotplug>},
    {"mmds-config", Presence::Optional, as_command<PutMmdsConfig, MmdsConfig, decode_mmds_config>},
};

std::string prefix(std::string_view section) {
  return "Section `" + std::string(section) + "`: ";
}

Error missing(std::string_view section) {
  return {ErrorCode::InvalidArgument, "missing section `" + std::string(section) + "` in the configuration file"};
}

bool is_list(Presence presence) {
  return presence == Presence::RequiredList || presence == Presence::OptionalList;
}

bool is_required(Presence presence) {
  return presence == Presence::Required || presence == Presence::RequiredList;
}

Status add_command(const Json& json, const Section& section, ConfigFile& file) {
  Result<Command> command = section.decode(json);
  if (!command.ok()) {
    return std::move(command).error().with_prefix(prefix(section.name));
  }
  file.commands.push_back(std::move(command).value());
  return {};
}

Status add_section(const Json& root, const Section& section, ConfigFile& file) {
  const auto found = root.find(section.name);
  if (found == root.end() || (found->is_null() && !is_list(section.presence))) {
    return is_required(section.presence) ? Status(missing(section.name)) : Status();
  }
  if (!is_list(section.presence)) {
    return add_command(*found, section, file);
  }
  if (!found->is_array()) {
    return Error(ErrorCode::InvalidArgument, prefix(section.name) + "invalid type: expected a list");
  }
  for (const Json& entry : *found) {
    WISP_TRY(add_command(entry, section, file));
  }
  return {};
}

}  // namespace

Result<ConfigFile> parse_config_file(std::string_view json) {
  const Json root = WISP_TRY(parse_json(json));
  if (!root.is_object()) {
    return Error(ErrorCode::InvalidArgument, "the configuration file must hold one JSON object");
  }
  ConfigFile file;
  for (const Section& section : kSections) {
    WISP_TRY(add_section(root, section, file));
  }
  return file;
}

}  // namespace wisp::api
