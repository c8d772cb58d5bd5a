#include "jailer/jail/plan.h"

#include <array>
#include <charconv>

#include "jailer/jail/arguments.h"
#include "vmm/base/arguments.h"
#include "vmm/base/instance_id.h"
#include "vmm/base/version.h"

namespace wisp {
namespace {

constexpr std::array kRequired = {"id", "exec-file", "uid", "gid"};

Error refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

/// Digits and nothing else: no sign, no blank, no other base.
std::optional<std::uint64_t> parse_decimal(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

Result<std::uint32_t> parse_user_id(const char* name, const std::string& text) {
  const auto number = parse_decimal(text);
  if (!number || *number > kMaxUserId) {
    return refuse(std::string("Invalid ") + name + ": '" + text + "' is not an id. Give --" + name +
                  " a number from 0 to 4294967294");
  }
  return static_cast<std::uint32_t>(*number);
}

bool is_id_character(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '-';
}

bool is_cgroup_name_character(char character) {
  return is_id_character(character) || character == '.' || character == '_';
}

Status read_identity(const Arguments& arguments, JailPlan& plan) {
  for (const char* name : kRequired) {
    if (!arguments.has(name)) {
      return refuse(std::string("Failed to parse arguments: Argument '") + name + "' required, but not found.");
    }
  }
  plan.id = *arguments.value("id");
  (void)WISP_TRY(check_instance_id(plan.id));
  plan.exec_file = *arguments.value("exec-file");
  plan.uid = WISP_TRY(parse_user_id("uid", *arguments.value("uid")));
  plan.gid = WISP_TRY(parse_user_id("gid", *arguments.value("gid")));
  return {};
}

Status read_cgroups(const Arguments& arguments, JailPlan& plan) {
  for (const std::string& text : arguments.values("cgroup")) {
    plan.cgroups.push_back(WISP_TRY(parse_cgroup_setting(text)));
  }
  const std::string version = arguments.value("cgroup-version").value_or("1");
  if (version != "1" && version != "2") {
    return refuse(version + " is an invalid cgroup version specifier. Give --cgroup-version 1 or 2");
  }
  plan.cgroup_version = version == "1" ? CgroupVersion::V1 : CgroupVersion::V2;
  plan.parent_cgroup = arguments.value("parent-cgroup");
  return plan.parent_cgroup ? check_parent_cgroup(*plan.parent_cgroup) : Status();
}

Status read_surroundings(const Arguments& arguments, JailPlan& plan) {
  for (const std::string& text : arguments.values("resource-limit")) {
    (void)WISP_TRY(parse_resource_limit(text, plan.limits));
  }
  if (const auto devices = arguments.value("devices")) {
    plan.devices = WISP_TRY(parse_devices(*devices));
  }
  plan.chroot_base = arguments.value("chroot-base-dir").value_or(kDefaultChrootBase);
  plan.netns = arguments.value("netns");
  plan.daemonize = arguments.has("daemonize") ? Daemonize::Yes : Daemonize::No;
  plan.pid_namespace = arguments.has("new-pid-ns") ? PidNamespace::New : PidNamespace::Hosts;
  plan.dry_run = arguments.has("dry-run") ? DryRun::Yes : DryRun::No;
  plan.monitor_arguments = arguments.rest();
  return {};
}

}  // namespace

Result<CgroupSetting> parse_cgroup_setting(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return refuse("Invalid format for cgroups: '" + text + "'. Give --cgroup CONTROLLER.FILE=VALUE");
  }
  CgroupSetting setting;
  setting.file = text.substr(0, equals);
  setting.value = text.substr(equals + 1);
  const std::size_t dot = setting.file.find('.');
  bool good = dot != std::string::npos && dot > 0 && dot + 1 < setting.file.size() &&
              setting.file.find("..") == std::string::npos;
  for (const char character : setting.file) {
    good = good && is_cgroup_name_character(character);
  }
  if (!good) {
    return refuse("Cgroup invalid file: '" + setting.file + "'. Give a file name such as cpu.shares, without a path");
  }
  setting.controller = setting.file.substr(0, dot);
  return setting;
}

Status check_parent_cgroup(const std::string& path) {
  bool good = !path.empty() && path.front() != '/';
  for (std::size_t begin = 0; good && begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    good = part != "." && part != "..";
    begin = end + 1;
  }
  if (!good) {
    return refuse("Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.': '" + path +
                  "'. Give --parent-cgroup a path below the cgroup mount");
  }
  return {};
}

Status parse_resource_limit(const std::string& text, ResourceLimits& limits) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return refuse("Invalid format for resources limits: '" + text + "'. Give --resource-limit NAME=NUMBER");
  }
  const std::string name = text.substr(0, equals);
  if (name != "fsize" && name != "no-file") {
    return refuse("Invalid resource argument: '" + name + "'. Give fsize or no-file");
  }
  const auto number = parse_decimal(text.substr(equals + 1));
  if (!number) {
    return refuse("Invalid limit value for resource: '" + text.substr(equals + 1) +
                  "': not a number. Give a decimal number");
  }
  if (name == "fsize") {
    limits.max_file_bytes = *number;
  } else {
    limits.max_open_files = *number;
  }
  return {};
}

Result<DeviceChoice> parse_devices(const std::string& text) {
  DeviceChoice choice{false, false, false, DiskNodes::WhenFound};
  if (text == "none") {
    return choice;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    if (name == "kvm") {
      choice.kvm = true;
    } else if (name == "tun") {
      choice.tun = true;
    } else if (name == "userfaultfd") {
      choice.userfaultfd = true;
    } else if (name == "disk") {
      choice.disk_nodes = DiskNodes::Allowed;
    } else {
      return refuse("Invalid device '" + name + "' in --devices. Give a list of kvm, tun, userfaultfd, disk; or none");
    }
    begin = end + 1;
  }
  return choice;
}

std::optional<std::string> early_jailer_answer(std::span<char* const> words) {
  if (mentions(words, "--help") || mentions(words, "-h")) {
    return help_text(kJailerPage);
  }
  if (mentions(words, "--version")) {
    return std::string("Jailer v") + kWispVersion + "\n";
  }
  return std::nullopt;
}

Result<JailPlan> plan_jail(std::span<char* const> words) {
  auto arguments = Arguments::parse(kJailerPage.arguments, words);
  if (!arguments.ok()) {
    return std::move(arguments).error().with_prefix("Failed to parse arguments: ");
  }
  JailPlan plan;
  (void)WISP_TRY(read_identity(arguments.value(), plan));
  (void)WISP_TRY(read_cgroups(arguments.value(), plan));
  (void)WISP_TRY(read_surroundings(arguments.value(), plan));
  return plan;
}

}  // namespace wisp
