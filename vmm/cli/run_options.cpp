#include "vmm/cli/run_options.h"

#include <array>
#include <charconv>

#include "vmm/base/arguments.h"
#include "vmm/base/instance_id.h"
#include "vmm/cli/process.h"

namespace wisp {
namespace {

using enum ArgumentKind;

constexpr std::uint64_t kMibOfGib = 1024;

constexpr std::array kArguments = {
    ArgumentSpec{.name = "kernel",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "The kernel: an ELF file (vmlinux) or a bzImage.",
                 .example = "vmlinux"},
    ArgumentSpec{.name = "initrd",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "An initial RAM file system. Distributions' kernels need one that loads virtio_mmio and "
                         "virtio_blk.",
                 .fallback = "none",
                 .example = "initrd.cpio"},
    ArgumentSpec{.name = "rootfs",
                 .kind = Value,
                 .value_name = "PATH[:ro]",
                 .help =
                     "The image of the root file system, /dev/vda in the guest: raw bytes, no disk format. With :ro "
                     "the guest cannot write to it.",
                 .fallback = "none",
                 .example = "root.ext4:ro"},
    ArgumentSpec{.name = "drive",
                 .kind = RepeatedValue,
                 .value_name = "PATH[:ro]",
                 .help = "One more drive: /dev/vdb, /dev/vdc and so on (from /dev/vda without --rootfs).",
                 .fallback = "none",
                 .example = "data.img"},
    ArgumentSpec{.name = "cpus",
                 .kind = Value,
                 .value_name = "COUNT",
                 .help = "Virtual processors, 1 to 32.",
                 .fallback = "1",
                 .example = "2"},
    ArgumentSpec{.name = "memory",
                 .kind = Value,
                 .value_name = "SIZE",
                 .help = "Memory: a number with M or G for MiB or GiB; without a letter MiB.",
                 .fallback = "512M",
                 .example = "2G"},
    ArgumentSpec{.name = "cmdline",
                 .kind = Value,
                 .value_name = "WORDS",
                 .help = "Words for the kernel's command line, added behind console=ttyS0 reboot=k panic=1. The kernel "
                         "takes the last of two that contradict each other.",
                 .fallback = "none",
                 .example = "'quiet ip=10.0.0.2::10.0.0.1:255.255.255.0::eth0:off'"},
    ArgumentSpec{
        .name = "tap",
        .kind = RepeatedValue,
        .value_name = "DEVICE[:MAC]",
        .help =
            "A network interface, eth0, eth1 and so on, on this TAP of the host. One that does not exist is made if "
            "the user may do that, and goes with the machine.",
        .fallback = "none",
        .example = "tap0:06:00:00:00:00:01"},
    ArgumentSpec{.name = "vsock",
                 .kind = Value,
                 .value_name = "CID:PATH",
                 .help = "A vsock device: the guest's context id, 3 or more, and the Unix socket on the host.",
                 .fallback = "none",
                 .example = "3:/tmp/vm.vsock"},
    ArgumentSpec{.name = "entropy",
                 .kind = Value,
                 .value_name = "on|off",
                 .help = "A device that gives the guest random bytes of the host's.",
                 .fallback = "on",
                 .example = "off"},
    ArgumentSpec{.name = "api-sock",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Also answers the REST API on this Unix socket: pause, snapshots, live updates.",
                 .fallback = "none",
                 .example = "/tmp/vm.sock"},
    ArgumentSpec{.name = "id",
                 .kind = Value,
                 .value_name = "ID",
                 .help = "Instance id: 1 to 64 ASCII letters, digits and dashes.",
                 .fallback = "anonymous-instance",
                 .example = "vm-7"},
    ArgumentSpec{.name = "log-path",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "File for the monitor's log. The log never mixes with the console.",
                 .fallback = "none, no log",
                 .example = "wisp.log"},
    ArgumentSpec{.name = "level",
                 .kind = Value,
                 .value_name = "Off|Error|Warn|Info|Debug|Trace",
                 .help = "The least severe log lines that are written.",
                 .fallback = "Info",
                 .example = "Debug",
                 .needs = "log-path"},
    ArgumentSpec{.name = "print-config",
                 .help = "Prints the configuration file that says the same (for --config-file), and ends."},
    ArgumentSpec{.name = "help", .help = "Prints this text (also -h), and ends."},
};
constexpr std::array kSynopsis = {"--kernel PATH [--rootfs PATH[:ro]] [OPTION...] [-- INIT-WORD...]"};
constexpr std::array kDescription = {
    "Boots a machine and puts its serial console on this terminal. It ends when the guest reboots or powers off, or at "
    "Ctrl-A x. Ctrl-A h shows the keys, Ctrl-A Ctrl-A types Ctrl-A; every other key, Ctrl-C too, is the guest's. "
    "Without a terminal, standard input and output are the console as they are.",
    "What follows -- is for the guest's first process. The system call filters and everything else that confines the "
    "monitor are the same as without `run`; for strangers' guests use wisp-jailer(8).",
};
constexpr std::array kExamples = {
    ManualExample{"wisp run --kernel vmlinux --rootfs root.ext4", "A guest with one processor and 512 MiB."},
    ManualExample{"wisp run --kernel vmlinux --initrd initrd.cpio --cpus 2 --memory 1G --cmdline quiet",
                  "A guest that lives in its initial RAM file system."},
    ManualExample{"wisp run --kernel vmlinux --rootfs root.ext4 --tap tap0 --print-config > vm.json",
                  "The same machine as a file, for wisp --config-file vm.json."},
    ManualExample{"wisp run --kernel vmlinux --rootfs root.ext4 -- single", "Hands `single` to init."},
};
constexpr std::array kExits = {
    ManualExit{"0", "the guest rebooted or powered off, or Ctrl-A x was typed"},
    ManualExit{"1", "the machine could not be made, or the guest's processor cannot go on"},
    ManualExit{"others", "see wisp(1)"},
};
constexpr std::array kSeeAlso = {"wisp(1)", "wisp-doctor(1)", "wisp-jailer(8)"};

OptionsError wrong_words(const std::string& text) {
  return {ExitCode::ArgumentParsing, "Error: " + text + "\n\nFor more information try wisp run --help."};
}

Error refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

Result<MachineConfig> read_machine(const Arguments& arguments) {
  MachineConfig machine;
  machine.memory_mib = kRunMemoryMib;
  if (const auto text = arguments.value("cpus")) {
    const auto count = parse_number<std::uint8_t>(*text);
    if (!count || *count == 0 || *count > kMaxVcpuCount) {
      return refuse("--cpus '" + *text + "': give a number from 1 to " + std::to_string(kMaxVcpuCount));
    }
    machine.vcpu_count = *count;
  }
  if (const auto text = arguments.value("memory")) {
    machine.memory_mib = WISP_TRY(parse_memory_mib(*text));
  }
  return machine;
}

Result<BootSource> read_boot(const Arguments& arguments) {
  const auto kernel = arguments.value("kernel");
  if (!kernel) {
    return refuse("--kernel is missing: give the path of a vmlinux or a bzImage");
  }
  std::string words = kRunBootArgs;
  if (const auto more = arguments.value("cmdline")) {
    words += " " + *more;
  }
  // The monitor puts its own words before a lone "--"; the kernel hands what is behind it to init.
  for (std::size_t index = 0; index < arguments.rest().size(); ++index) {
    words += (index == 0 ? " -- " : " ") + arguments.rest()[index];
  }
  return BootSource{*kernel, arguments.value("initrd"), words};
}

Status read_drives(const Arguments& arguments, FullConfig& config) {
  if (const auto text = arguments.value("rootfs")) {
    DriveConfig root = WISP_TRY(parse_drive(*text));
    root.drive_id = "rootfs";
    root.is_root_device = true;
    config.drives.push_back(std::move(root));
  }
  std::size_t number = 0;
  for (const std::string& text : arguments.values("drive")) {
    DriveConfig drive = WISP_TRY(parse_drive(text));
    drive.drive_id = "drive" + std::to_string(++number);
    config.drives.push_back(std::move(drive));
  }
  return {};
}

Status read_devices(const Arguments& arguments, FullConfig& config) {
  (void)WISP_TRY(read_drives(arguments, config));
  for (const std::string& text : arguments.values("tap")) {
    NetConfig net = WISP_TRY(parse_tap(text));
    net.iface_id = "eth" + std::to_string(config.network_interfaces.size());
    config.network_interfaces.push_back(std::move(net));
  }
  if (const auto text = arguments.value("vsock")) {
    config.vsock = WISP_TRY(parse_vsock(*text));
  }
  const std::string entropy = arguments.value("entropy").value_or("on");
  if (entropy != "on" && entropy != "off") {
    return refuse("--entropy '" + entropy + "': give on or off");
  }
  if (entropy == "on") {
    config.entropy = EntropyConfig{};
  }
  return {};
}

Status read_surroundings(const Arguments& arguments, Options& options) {
  options.console = ConsoleUse::Interactive;
  options.print_config = arguments.has("print-config") ? PrintConfig::Yes : PrintConfig::No;
  options.api = arguments.has("api-sock") ? ApiUse::On : ApiUse::Off;
  options.api_socket = arguments.value("api-sock").value_or("");
  options.instance_id = arguments.value("id").value_or(options.instance_id);
  options.logger.log_path = arguments.value("log-path");
  options.logger.level = options.logger.log_path ? LogLevel::Info : LogLevel::Off;
  if (const auto text = arguments.value("level")) {
    options.logger.level = parse_level(*text);
    if (!options.logger.level) {
      return refuse("--level '" + *text + "': give Off, Error, Warn, Info, Debug or Trace");
    }
  }
  return check_instance_id(options.instance_id);
}

Result<Options> read_options(const Arguments& arguments) {
  Options options;
  FullConfig config;
  (void)WISP_TRY(read_surroundings(arguments, options));
  config.machine = WISP_TRY(read_machine(arguments));
  config.boot_source = WISP_TRY(read_boot(arguments));
  (void)WISP_TRY(read_devices(arguments, config));
  options.machine = std::move(config);
  return options;
}

}  // namespace

constinit const ManualPage kRunPage{.program = "wisp",
                                    .command = "run",
                                    .summary = "boots a kernel and a root file system to a console",
                                    .synopsis = kSynopsis,
                                    .description = kDescription,
                                    .arguments = kArguments,
                                    .examples = kExamples,
                                    .exits = kExits,
                                    .see_also = kSeeAlso};

Result<std::uint64_t> parse_memory_mib(const std::string& text) {
  const bool is_gib = text.ends_with('G');
  std::string_view digits = text;
  if (is_gib || text.ends_with('M')) {
    digits.remove_suffix(1);
  }
  const auto number = parse_number<std::uint64_t>(digits);
  const std::uint64_t most = is_gib ? kMaxStartableMemoryMib / kMibOfGib : kMaxStartableMemoryMib;
  if (!number || *number == 0 || *number > most) {
    return refuse("--memory '" + text + "': give a number of MiB from 1 to " + std::to_string(kMaxStartableMemoryMib) +
                  ", or with a letter, as 512M or 2G");
  }
  return is_gib ? *number * kMibOfGib : *number;
}

Result<DriveConfig> parse_drive(const std::string& text) {
  DriveConfig drive;
  drive.path_on_host = text;
  drive.is_read_only = text.ends_with(":ro");
  if (drive.is_read_only || text.ends_with(":rw")) {
    drive.path_on_host.resize(text.size() - 3);
  }
  if (drive.path_on_host.empty()) {
    return refuse("a drive needs the path of an image: '" + text + "'. Give PATH or PATH:ro");
  }
  return drive;
}

Result<NetConfig> parse_tap(const std::string& text) {
  NetConfig net;
  const std::size_t colon = text.find(':');  // an interface's name has none
  net.host_dev_name = text.substr(0, colon);
  if (net.host_dev_name.empty()) {
    return refuse("--tap '" + text +
                  "': give the name of a TAP interface of this host, as tap0 or "
                  "tap0:06:00:00:00:00:01");
  }
  if (colon != std::string::npos) {
    net.guest_mac = parse_mac(std::string_view(text).substr(colon + 1));
    if (!net.guest_mac) {
      return refuse("--tap '" + text + "': what follows the name is no MAC address. Write it like 06:00:00:00:00:01");
    }
  }
  return net;
}

Result<VsockConfig> parse_vsock(const std::string& text) {
  VsockConfig vsock;
  const std::size_t colon = text.find(':');
  const auto cid = parse_number<std::uint32_t>(std::string_view(text).substr(0, colon));
  if (colon == std::string::npos || !cid || *cid < kMinGuestCid || colon + 1 == text.size()) {
    return refuse("--vsock '" + text + "': give CID:PATH with a CID of 3 or more, as 3:/tmp/vm.vsock");
  }
  vsock.guest_cid = *cid;
  vsock.uds_path = text.substr(colon + 1);
  return vsock;
}

OptionsResult parse_run_options(std::span<char* const> words) {
  const auto arguments = Arguments::parse(kArguments, words);
  if (!arguments.ok()) {
    return wrong_words(arguments.error().text());
  }
  Result<Options> options = read_options(arguments.value());
  if (!options.ok()) {
    return wrong_words(options.error().text());
  }
  return std::move(options).value();
}

}  // namespace wisp
