// Options: the monitor's command line as data, checked as a whole before anything is done.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "vmm/base/exit_code.h"
#include "vmm/base/manual.h"
#include "vmm/config/boot_timer.h"
#include "vmm/config/command.h"
#include "vmm/config/descriptor.h"
#include "vmm/config/observe.h"

namespace wisp {

inline constexpr const char* kDefaultApiSocket = "/run/firecracker.socket";
inline constexpr std::uint64_t kDefaultMaxPayloadBytes = 51'200;

enum class ApiUse { Off, On };
enum class SeccompUse { Off, On };
/// Who sits in front of the serial console.
enum class ConsoleUse {
  Plain,        ///< whoever has standard input and output, as the peer does it
  Interactive,  ///< wisp run: a person; Ctrl-A is looked at first
};
enum class PrintConfig { No, Yes };

struct Options {
  std::string instance_id = "anonymous-instance";
  std::string api_socket = kDefaultApiSocket;
  ApiUse api = ApiUse::On;
  SeccompUse seccomp = SeccompUse::On;
  std::vector<std::string> allowed_folders;   ///< none: everywhere
  std::optional<std::string> seccomp_filter;  ///< never together with SeccompUse::Off
  std::optional<std::string> config_file;
  LoggerConfig logger;
  std::optional<std::string> metrics_path;
  std::optional<std::string> metrics_socket;
  std::optional<std::string> trace_file;
  BootTimerDevice boot_timer = BootTimerDevice::Absent;
  std::uint64_t max_payload_bytes = kDefaultMaxPayloadBytes;
  std::optional<std::string> metadata_file;
  std::uint64_t mmds_limit_bytes = kDefaultMaxPayloadBytes;  ///< follows max_payload_bytes unless it is given
  std::optional<std::uint64_t> start_time_us;
  std::optional<std::uint64_t> start_time_cpu_us;
  std::uint64_t parent_cpu_time_us = 0;
  /// wisp run: the machine that the command line describes; takes the way of a configuration file.
  std::optional<FullConfig> machine;
  ConsoleUse console = ConsoleUse::Plain;
  PrintConfig print_config = PrintConfig::No;
  std::map<std::string, int> inherited;  ///< numbers of open descriptors, by name
};

/// Why the program does not start, with the code to exit with.
struct OptionsError {
  ExitCode code;
  std::string text;
};

/// Either the options or the reason; a small sum type, because the exit code depends on the kind of mistake.
class OptionsResult {
 public:
  OptionsResult(Options options) : state_(std::move(options)) {}
  OptionsResult(OptionsError error) : state_(std::move(error)) {}
  bool ok() const { return state_.index() == 0; }
  Options&& value() && { return std::get<Options>(std::move(state_)); }
  const OptionsError& error() const { return std::get<OptionsError>(state_); }

 private:
  std::variant<Options, OptionsError> state_;
};

extern const ManualPage kWispPage;

/// The text for --help, -h or --version, which count wherever they stand; nothing when none is there.
/// Called as `firecracker`, the version is the one that clients compare.
std::optional<std::string> early_answer(std::span<char* const> words, std::string_view called_as = "wisp");
OptionsResult parse_options(std::span<char* const> words);
/// "Off", "error", ...; nothing for a word that is no level.
std::optional<LogLevel> parse_level(std::string text);

}  // namespace wisp
