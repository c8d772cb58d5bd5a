// The configuration file: the bodies of the API in one JSON object, for a start without a client.
//
// {"boot-source": {...}, "drives": [...], "machine-config": {...}, "logger": {...}, "metrics": {...}}
//
// boot-source and drives (which may be empty) are required; a section that is null is absent; unknown top-level keys
// are ignored, and so are the keys inside a section as the endpoint of that name does it. What GET /vm/config answers
// is a valid file. A section for something that wisp cannot do yet is refused unless it is null or empty.
#pragma once

#include <string_view>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/config/command.h"

namespace wisp::api {

struct ConfigFile {
  /// In the order in which they must be carried out: logger, metrics, machine-config, boot-source, drives.
  std::vector<Command> commands;
};

/// An Error names the section.
Result<ConfigFile> parse_config_file(std::string_view json);

}  // namespace wisp::api

namespace wisp {
using api::ConfigFile;
using api::parse_config_file;
}  // namespace wisp
