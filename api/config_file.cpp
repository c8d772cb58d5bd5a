#include "api/config_file.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "api/codec_boot.h"
#include "api/codec_drive.h"
#include "api/codec_machine.h"
#include "api/codec_observe.h"
#include "api/fields.h"
#include "api/json_value.h"

namespace wisp::api {
namespace {

enum class Presence { Required, Optional };

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

constexpr std::string_view kDrives = "drives";

/// In the order of application; the drives follow.
constexpr Section kSections[] = {
    {"logger", Presence::Optional, as_command<PutLogger, LoggerConfig, decode_logger>},
    {"metrics", Presence::Optional, as_command<PutMetrics, MetricsConfig, decode_metrics>},
    {"machine-config", Presence::Optional, machine_command},
    {"boot-source", Presence::Required, as_command<PutBootSource, BootSource, decode_boot_source>},
};

/// What an empty section looks like: null or, for lists, [] (a null list is a mistake in the API's own file format).
enum class EmptyForm { Null, List };
struct UnsupportedSection {
  std::string_view name;
  EmptyForm empty_form;
};
constexpr UnsupportedSection kUnsupportedSections[] = {
    {"balloon", EmptyForm::Null},     {"cpu-config", EmptyForm::Null},
    {"mmds-config", EmptyForm::Null}, {"vsock", EmptyForm::Null},
    {"entropy", EmptyForm::Null},     {"memory-hotplug", EmptyForm::Null},
    {"pmem", EmptyForm::List},        {"network-interfaces", EmptyForm::List},
};

std::string prefix(std::string_view section) {
  return "Section `" + std::string(section) + "`: ";
}

Error missing(std::string_view section) {
  return {ErrorCode::InvalidArgument, "missing section `" + std::string(section) + "` in the configuration file"};
}

Status check_unsupported(const Json& root) {
  for (const UnsupportedSection& section : kUnsupportedSections) {
    const auto found = root.find(section.name);
    if (found == root.end()) {
      continue;
    }
    const bool is_list = section.empty_form == EmptyForm::List;
    if (is_list && !found->is_array()) {
      return Error(ErrorCode::InvalidArgument, prefix(section.name) + "invalid type: expected a list");
    }
    if (is_list ? !found->empty() : !found->is_null()) {
      return not_supported_yet("The section `" + std::string(section.name) + "` of the configuration file");
    }
  }
  return {};
}

Status add_section(const Json& root, const Section& section, ConfigFile& file) {
  const auto found = root.find(section.name);
  if (found == root.end() || found->is_null()) {
    return section.presence == Presence::Required ? Status(missing(section.name)) : Status();
  }
  Result<Command> command = section.decode(*found);
  if (!command.ok()) {
    return std::move(command).error().with_prefix(prefix(section.name));
  }
  file.commands.push_back(std::move(command).value());
  return {};
}

Status add_drives(const Json& root, ConfigFile& file) {
  const auto found = root.find(kDrives);
  if (found == root.end()) {
    return missing(kDrives);
  }
  if (!found->is_array()) {
    return Error(ErrorCode::InvalidArgument, prefix(kDrives) + "invalid type: expected a list");
  }
  for (const Json& entry : *found) {
    Result<DriveConfig> drive = decode_drive(entry);
    if (!drive.ok()) {
      return std::move(drive).error().with_prefix(prefix(kDrives));
    }
    file.commands.emplace_back(PutDrive{std::move(drive).value()});
  }
  return {};
}

}  // namespace

Result<ConfigFile> parse_config_file(std::string_view json) {
  const Json root = WISP_TRY(parse_json(json));
  if (!root.is_object()) {
    return Error(ErrorCode::InvalidArgument, "the configuration file must hold one JSON object");
  }
  WISP_TRY(check_unsupported(root));
  ConfigFile file;
  for (const Section& section : kSections) {
    WISP_TRY(add_section(root, section, file));
  }
  WISP_TRY(add_drives(root, file));
  return file;
}

}  // namespace wisp::api
