#include "vmm/cli/options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "vmm/base/arguments.h"
#include "vmm/base/instance_id.h"
#include "vmm/base/version.h"
#include "vmm/cli/process.h"

namespace wisp {
namespace {

using enum ArgumentKind;

constexpr std::array kSpecs = {
    ArgumentSpec{.name = "allow-path",
                 .kind = RepeatedValue,
                 .value_name = "DIRPATH",
                 .help = "What requests and the configuration file name must lie below this folder; repeatable. Needs "
                         "Landlock in the kernel.",
                 .fallback = "none, any file may be named",
                 .example = "/srv/vm1"},
    ArgumentSpec{.name = "api-sock",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Unix socket of the REST API; at most 107 bytes. The file must not exist yet and stays after "
                         "the end.",
                 .fallback = "/run/firecracker.socket",
                 .example = "/tmp/vm1.sock"},
    ArgumentSpec{.name = "boot-timer",
                 .help =
                     "Adds the boot-time marker device at 0xc0000000: the guest writes 123 there, the log tells how "
                     "long it took."},
    ArgumentSpec{.name = "config-file",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Configures the machine from a JSON file and starts it; at most 1 MiB. What GET /vm/config "
                         "answers is such a file.",
                 .fallback = "none, the API configures",
                 .example = "vm.json"},
    ArgumentSpec{.name = "describe-snapshot",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Prints what a snapshot's state file holds, and ends. The first line is the version alone.",
                 .fallback = "none",
                 .example = "vm.state"},
    ArgumentSpec{.name = "enable-pci", .help = "Is refused: this version has no PCI transport."},
    ArgumentSpec{.name = "http-api-max-payload-size",
                 .kind = Value,
                 .value_name = "BYTES",
                 .help = "The largest body of an API request.",
                 .fallback = "51200",
                 .example = "1000000"},
    ArgumentSpec{.name = "id",
                 .kind = Value,
                 .value_name = "ID",
                 .help = "Instance id: 1 to 64 ASCII letters, digits and dashes. Log lines and GET / show it.",
                 .fallback = "anonymous-instance",
                 .example = "vm-7"},
    ArgumentSpec{.name = "inherit-fd",
                 .kind = RepeatedValue,
                 .value_name = "NAME=N",
                 .help =
                     "An open descriptor that PUT /snapshot/load can use by name in place of a path; N is from 3 on. "
                     "May be given 32 times.",
                 .fallback = "none",
                 .example = "disk=5"},
    ArgumentSpec{.name = "level",
                 .kind = Value,
                 .value_name = "Off|Error|Warn|Info|Debug|Trace",
                 .help = "The least severe log lines that are written.",
                 .fallback = "Info",
                 .example = "Debug"},
    ArgumentSpec{.name = "log-path",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "File or FIFO for the log; its folder must exist. Lines are added.",
                 .fallback = "standard output",
                 .example = "/var/log/vm1.log"},
    ArgumentSpec{.name = "metadata",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "JSON file that fills the metadata store at the start.",
                 .fallback = "none, the store is empty",
                 .example = "metadata.json"},
    ArgumentSpec{.name = "metrics-path",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "File or FIFO for the metrics, a JSON line a minute.",
                 .fallback = "none",
                 .example = "/var/log/vm1.metrics"},
    ArgumentSpec{.name = "metrics-sock",
                 .kind = Value,
                 .value_name = "PATH",
                 .help =
                     "Unix socket where scrapers get the metrics as OpenMetrics text; at most 107 bytes. The file must "
                     "not exist yet and stays after the end.",
                 .fallback = "none",
                 .example = "/tmp/vm1.metrics.sock"},
    ArgumentSpec{.name = "mmds-size-limit",
                 .kind = Value,
                 .value_name = "BYTES",
                 .help = "The largest metadata store.",
                 .fallback = "as --http-api-max-payload-size",
                 .example = "204800"},
    ArgumentSpec{.name = "module",
                 .kind = Value,
                 .value_name = "PREFIX",
                 .help = "Logs only what source files say whose path begins with this.",
                 .fallback = "none, all files",
                 .example = "virtio/net"},
    ArgumentSpec{.name = "no-api",
                 .help = "No API socket: the machine is what the file says, and ends with the guest.",
                 .needs = "config-file"},
    ArgumentSpec{.name = "no-seccomp",
                 .help = "Runs without system call filters. Never for strangers' guests.",
                 .excludes = "seccomp-filter"},
    ArgumentSpec{.name = "parent-cpu-time-us",
                 .kind = Value,
                 .value_name = "MICROSECONDS",
                 .help = "CPU time of the parent process, for the start-up metric; wisp-jailer gives it.",
                 .fallback = "0",
                 .example = "1200"},
    ArgumentSpec{.name = "seccomp-filter",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "System call filters of your own, as `wisp seccomp compile` makes them.",
                 .fallback = "the built-in filters",
                 .example = "filters"},
    ArgumentSpec{.name = "show-level", .help = "Shows the level in every log line."},
    ArgumentSpec{.name = "show-log-origin", .help = "Shows source file and line in every log line."},
    ArgumentSpec{.name = "snapshot-version", .help = "Prints the version of the snapshot format, and ends."},
    ArgumentSpec{
        .name = "start-time-cpu-us",
        .kind = Value,
        .value_name = "MICROSECONDS",
        .help = "CPU time of the process at the jailer's start, for the start-up metric; wisp-jailer gives it.",
        .fallback = "none",
        .example = "900"},
    ArgumentSpec{.name = "start-time-us",
                 .kind = Value,
                 .value_name = "MICROSECONDS",
                 .help = "Monotonic time of the jailer's start, for the start-up metric; wisp-jailer gives it.",
                 .fallback = "none",
                 .example = "81726354"},
    ArgumentSpec{.name = "trace",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Writes how long each phase of the start took, in Chrome's trace event format.",
                 .fallback = "none",
                 .example = "/tmp/vm1.trace.json"},
    ArgumentSpec{.name = "version", .help = "Prints the version, and ends."},
    ArgumentSpec{.name = "help", .help = "Prints this text (also -h), and ends."},
};

constexpr std::array kSynopsis = {"[--api-sock PATH] [OPTION...]", "--config-file PATH [--no-api] [OPTION...]",
                                  "COMMAND [ARGUMENT...]"};
constexpr std::array kDescription = {
    "One process runs one virtual machine with only virtio devices on KVM. Without a command it is the monitor for "
    "programs: it opens the API socket and waits for requests, which are those of Firecracker 1.17, as are its "
    "options. "
    "`wisp run` is the same monitor for people.",
    "The guest's serial console is standard input and output. A process that runs strangers' guests belongs into "
    "wisp-jailer(8). `wisp COMMAND --help` explains a command.",
};
constexpr std::array kCommands = {
    ManualWord{"run", "--kernel PATH ...", "Boots a kernel and a root file system to a console."},
    ManualWord{"doctor", nullptr, "Checks whether this host can run machines, and says what to change."},
    ManualWord{"snapshot", "describe|check|edit|merge ...", "Looks at the files of a snapshot, edits and merges them."},
    ManualWord{"seccomp", "compile|check ...", "Makes filter files for --seccomp-filter, and checks them."},
    ManualWord{"completion", "bash|zsh|fish", "Prints the shell's completion for wisp and wisp-jailer."},
    ManualWord{"help", "[COMMAND]", "Prints the help of a command, or its manual page."},
};
constexpr std::array kExamples = {
    ManualExample{"wisp doctor", "Is this host ready?"},
    ManualExample{"wisp run --kernel vmlinux --rootfs root.ext4", "A guest with its console on this terminal."},
    ManualExample{"wisp --api-sock /tmp/vm1.sock", "A monitor that waits for requests."},
    ManualExample{"wisp --no-api --config-file vm.json", "A machine from a file, without an API."},
};
constexpr std::array kExits = {
    ManualExit{"0", "the guest asked for a reset or power-off; --help, --version"},
    ManualExit{"1", "the configuration or the start failed, or the guest's processor cannot go on (a triple fault)"},
    ManualExit{"148", "a thread made a system call that its filter forbids"},
    ManualExit{"149, 150, 151, 154, 156, 157", "SIGBUS, SIGSEGV, SIGXFSZ, SIGXCPU, SIGHUP, SIGILL"},
    ManualExit{"152", "a value on the command line means nothing (--level)"},
    ManualExit{"153", "the command line was wrong"},
};
constexpr std::array kSeeAlso = {"wisp-run(1)",        "wisp-doctor(1)", "wisp-snapshot(1)", "wisp-seccomp(1)",
                                 "wisp-completion(1)", "wisp-help(1)",   "wisp-jailer(8)"};

constexpr std::array kUnsupported = {"enable-pci"};

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

/// The numeric arguments and where their values go.
Status read_numbers(const Arguments& arguments, Options& options) {
  options.start_time_us = WISP_TRY(arguments.number("start-time-us"));
  options.start_time_cpu_us = WISP_TRY(arguments.number("start-time-cpu-us"));
  options.parent_cpu_time_us = WISP_TRY(arguments.number("parent-cpu-time-us")).value_or(0);
  options.max_payload_bytes = WISP_TRY(arguments.number("http-api-max-payload-size")).value_or(kDefaultMaxPayloadBytes);
  options.mmds_limit_bytes = WISP_TRY(arguments.number("mmds-size-limit")).value_or(options.max_payload_bytes);
  return {};
}

/// NAME=N, once for each descriptor. Whether N is open is seen when it is claimed (process.h).
Status read_inherited(const Arguments& arguments, Options& options) {
  constexpr int kLargest = 1'048'576;
  for (const std::string& word : arguments.values("inherit-fd")) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const char* const begin = word.data() + (equals == std::string::npos ? word.size() : equals + 1);
    const char* const end = word.data() + word.size();
    int number = -1;
    const auto parsed = std::from_chars(begin, end, number);
    const bool valid = parsed.ec == std::errc() && parsed.ptr == end && number > STDERR_FILENO && number <= kLargest;
    if (!valid || name.empty() || name.size() > kMaxDescriptorNameBytes) {
      return Error(ErrorCode::InvalidArgument, "--inherit-fd '" + word +
                                                   "' is not NAME=N with a name of 1 to 64 bytes and the number of a "
                                                   "descriptor from 3 on");
    }
    const auto same_number = [&](const auto& each) { return each.second == number; };
    if (options.inherited.contains(name) || std::ranges::any_of(options.inherited, same_number)) {
      return Error(ErrorCode::InvalidArgument, "--inherit-fd '" + word + "': the name or the number is there twice");
    }
    options.inherited.emplace(name, number);
  }
  if (options.inherited.size() > kMaxInheritedDescriptors) {
    return Error(ErrorCode::LimitExceeded,
                 "--inherit-fd: more than " + std::to_string(kMaxInheritedDescriptors) + " descriptors");
  }
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
  options.allowed_folders = arguments.values("allow-path");
  options.seccomp_filter = arguments.value("seccomp-filter");
  options.config_file = arguments.value("config-file");
  options.metrics_path = arguments.value("metrics-path");
  options.trace_file = arguments.value("trace");
  options.metrics_socket = arguments.value("metrics-sock");
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
  if (checked.ok()) {
    checked = read_inherited(arguments, options);
  }
  if (!checked.ok()) {
    return OptionsError{ExitCode::GenericError, "Error: " + checked.error().text()};
  }
  return options;
}

}  // namespace

constinit const ManualPage kWispPage{
    .program = "wisp",
    .summary = "a microVM monitor for KVM, controlled over a REST API on a Unix socket",
    .synopsis = kSynopsis,
    .description = kDescription,
    .words = kCommands,
    .arguments = kSpecs,
    .examples = kExamples,
    .exits = kExits,
    .see_also = kSeeAlso};

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

std::optional<std::string> early_answer(std::span<char* const> words, std::string_view called_as) {
  if (mentions(words, "--help") || mentions(words, "-h")) {
    return help_text(kWispPage);
  }
  if (mentions(words, "--version")) {
    // Whoever puts wisp in Firecracker's place compares its version (Kata Containers wants 0.21.1 at least).
    const bool in_its_place = called_as.substr(called_as.rfind('/') + 1) == "firecracker";
    return (in_its_place ? std::string("Firecracker v") + kApiVersion : std::string("wisp v") + kWispVersion) + "\n\n";
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
