#include "vmm/cli/options.h"

#include <algorithm>
#include <array>

#include "vmm/base/arguments.h"
#include "vmm/base/instance_id.h"
#include "vmm/base/version.h"
#include "vmm/cli/process.h"

namespace wisp {
namespace {

using enum ArgumentKind;

constexpr std::array kSpecs = {
    ArgumentSpec{"api-sock", Value, "PATH", "Unix socket of the REST API (default /run/firecracker.socket)"},
    ArgumentSpec{"boot-timer", Switch, nullptr, "adds the boot-time marker device at 0xc0000000"},
    ArgumentSpec{"config-file", Value, "PATH", "configures the machine from a JSON file and starts it"},
    ArgumentSpec{"describe-snapshot", Value, "PATH", "prints what a snapshot's state file holds"},
    ArgumentSpec{"enable-pci", Switch, nullptr, "not supported yet"},
    ArgumentSpec{"http-api-max-payload-size", Value, "BYTES", "largest body of an API request (default 51200)"},
    ArgumentSpec{"id", Value, "ID", "instance id: 1 to 64 letters, digits and dashes"},
    ArgumentSpec{"level", Value, "LEVEL", "Off, Error, Warn, Info, Debug or Trace (default Info)"},
    ArgumentSpec{"log-path", Value, "PATH", "file or FIFO for the log (default standard output)"},
    ArgumentSpec{"metadata", Value, "PATH", "JSON file that fills the metadata store at the start"},
    ArgumentSpec{"metrics-path", Value, "PATH", "file or FIFO for the metrics"},
    ArgumentSpec{"mmds-size-limit", Value, "BYTES", "largest metadata store (default: as for API requests)"},
    ArgumentSpec{"module", Value, "PREFIX", "logs only source files whose path begins with this"},
    ArgumentSpec{"no-api", Switch, nullptr, "no API socket; needs --config-file", "config-file"},
    ArgumentSpec{"no-seccomp", Switch, nullptr, "runs without system call filters (not for strangers' guests)", nullptr,
                 "seccomp-filter"},
    ArgumentSpec{"parent-cpu-time-us", Value, "US", "CPU time of the parent, for the start-up metric"},
    ArgumentSpec{"seccomp-filter", Value, "PATH", "not supported yet"},
    ArgumentSpec{"show-level", Switch, nullptr, "shows the level in every log line"},
    ArgumentSpec{"show-log-origin", Switch, nullptr, "shows file and line in every log line"},
    ArgumentSpec{"snapshot-version", Switch, nullptr, "prints the version of the snapshot format"},
    ArgumentSpec{"start-time-cpu-us", Value, "US", "CPU time at the jailer's start, for the start-up metric"},
    ArgumentSpec{"start-time-us", Value, "US", "monotonic time at the jailer's start, for the start-up metric"},
    ArgumentSpec{"version", Switch, nullptr, "prints the version"},
    ArgumentSpec{"help", Switch, nullptr, "prints this text (also -h)"},
};

constexpr std::array kUnsupported = {"enable-pci", "seccomp-filter"};

struct LevelName {
  const char* name;
  LogLevel level;
};
constexpr std::array kLevels = {LevelName{"off", LogLevel::Off},     LevelName{"trace", LogLevel::Trace},
                                LevelName{"debug", LogLevel::Debug}, LevelName{"info", LogLevel::Info},
                                LevelName{"warn", LogLevel::Warn},   LevelName{"warning", LogLevel::Warn},
                                LevelName{"error", LogLevel::Error}};

OptionsError argument_error(const std::string& text) {
  return {ExitCode::ArgumentParsing, "Arguments parsing error: " + text + " \n\nFor more information try --help."};
}

std::optional<LogLevel> parse_level(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  for (const LevelName& each : kLevels) {
    if (text == each.name) {
      return each.level;
    }
  }
  return std::nullopt;
}

/// The numeric arguments and where their values go.
Status read_numbers(const Arguments& arguments, Options& options) {
  options.start_time_us = WISP_TRY(arguments.number("start-time-us"));
  options.start_time_cpu_us = WISP_TRY(arguments.number("start-time-cpu-us"));
  options.parent_cpu_time_us = WISP_TRY(arguments.number("parent-cpu-time-us")).value_or(0);
  options.max_payload_bytes = WISP_TRY(arguments.number("http-api-max-payload-size")).value_or(kDefaultMaxPayloadBytes);
  options.mmds_limit_bytes = WISP_TRY(arguments.number("mmds-size-limit")).value_or(options.max_payload_bytes);
  return {};
}

OptionsResult interpret(const Arguments& arguments) {
  for (const char* name : kUnsupported) {
    if (arguments.has(name)) {
      return OptionsError{ExitCode::GenericError, std::string("Error: the argument --") + name +
                                                      " is not supported yet by wisp " + kWispVersion};
    }
  }
  Options options;
  options.instance_id = arguments.value("id").value_or(options.instance_id);
  options.api_socket = arguments.value("api-sock").value_or(options.api_socket);
  options.api = arguments.has("no-api") ? ApiUse::Off : ApiUse::On;
  options.seccomp = arguments.has("no-seccomp") ? SeccompUse::Off : SeccompUse::On;
  options.config_file = arguments.value("config-file");
  options.metrics_path = arguments.value("metrics-path");
  options.metadata_file = arguments.value("metadata");
  options.boot_timer = arguments.has("boot-timer") ? BootTimerDevice::Present : BootTimerDevice::Absent;
  options.logger.log_path = arguments.value("log-path");
  options.logger.module = arguments.value("module");
  if (arguments.has("show-level")) {
    options.logger.show_level = true;
  }
  if (arguments.has("show-log-origin")) {
    options.logger.show_log_origin = true;
  }
  if (const auto text = arguments.value("level")) {
    options.logger.level = parse_level(*text);
    if (!options.logger.level) {
      return OptionsError{
          ExitCode::BadConfiguration,
          "Error: the log level '" + *text + "' is not known. Give Off, Error, Warn, Info, Debug or Trace."};
    }
  }
  Status checked = check_instance_id(options.instance_id);
  if (checked.ok()) {
    checked = read_numbers(arguments, options);
  }
  if (!checked.ok()) {
    return OptionsError{ExitCode::GenericError, "Error: " + checked.error().text()};
  }
  return options;
}

}  // namespace

std::optional<std::string> early_answer(std::span<char* const> words) {
  if (mentions(words, "--help") || mentions(words, "-h")) {
    return usage("wisp", "a microVM monitor for KVM, controlled over a REST API on a Unix socket", kSpecs);
  }
  if (mentions(words, "--version")) {
    return std::string("wisp v") + kWispVersion + "\n\n";
  }
  return std::nullopt;
}

OptionsResult parse_options(std::span<char* const> words) {
  auto arguments = Arguments::parse(kSpecs, words);
  if (!arguments.ok()) {
    return argument_error(arguments.error().text());
  }
  return interpret(arguments.value());
}

}  // namespace wisp
