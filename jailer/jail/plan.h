// JailPlan: everything that a command line asks of the jailer, checked and inert.
//
//   JailPlan plan = WISP_TRY(plan_jail(words));        // text only: nothing on the host is looked at
//   HostView host = WISP_TRY(survey_host(plan));       // host_view.h: opens and checks what the plan names
//   if (plan.dry_run == DryRun::Yes) print(describe(plan, host));
//   else Jail::enter(plan, host)                       // jail.h
//
// Rules: a plan that exists is well formed (ids, numbers, names, cgroup files); a value that is wrong is refused here,
// before anything is changed. The flags, their defaults and the texts of the refusals are those that orchestrators
// written for the Firecracker jailer know.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace wisp {

inline constexpr const char* kDefaultChrootBase = "/srv/jailer";
inline constexpr std::uint64_t kDefaultMaxOpenFiles = 2048;
/// (uid_t)-1 means "leave it alone" to the kernel's id calls, so it is nobody's id.
inline constexpr std::uint64_t kMaxUserId = 0xffff'fffeU;

/// One `--cgroup CONTROLLER.FILE=VALUE`.
struct CgroupSetting {
  std::string controller;
  std::string file;
  std::string value;
};

enum class CgroupVersion : int { V1 = 1, V2 = 2 };
enum class Daemonize { No, Yes };
enum class PidNamespace { Hosts, New };
enum class DryRun { No, Yes };
/// May files of the jail other than those in /dev be device nodes (a disk that the orchestrator made with mknod)?
enum class DiskNodes { WhenFound, Allowed };

/// Which device nodes the monitor gets. Absent ones on the host are left out.
struct DeviceChoice {
  bool kvm = true;
  bool tun = true;
  bool userfaultfd = true;
  DiskNodes disk_nodes = DiskNodes::WhenFound;
};

struct ResourceLimits {
  std::optional<std::uint64_t> max_file_bytes;  ///< none: the jailer's own limit stays
  std::uint64_t max_open_files = kDefaultMaxOpenFiles;
};

struct JailPlan {
  std::string id;
  std::string exec_file;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string chroot_base = kDefaultChrootBase;
  std::optional<std::string> netns;
  std::vector<CgroupSetting> cgroups;
  CgroupVersion cgroup_version = CgroupVersion::V1;
  std::optional<std::string> parent_cgroup;  ///< none: the name of the exec file
  ResourceLimits limits;
  DeviceChoice devices;
  Daemonize daemonize = Daemonize::No;
  PidNamespace pid_namespace = PidNamespace::Hosts;
  DryRun dry_run = DryRun::No;
  std::vector<std::string> monitor_arguments;  ///< what followed `--`
};

/// The text for --help, -h or --version, which count wherever they stand before `--`.
std::optional<std::string> early_jailer_answer(std::span<char* const> words);
Result<JailPlan> plan_jail(std::span<char* const> words);

Result<CgroupSetting> parse_cgroup_setting(const std::string& text);
Status check_parent_cgroup(const std::string& path);
/// Reads one `--resource-limit NAME=NUMBER` into `limits`.
Status parse_resource_limit(const std::string& text, ResourceLimits& limits);
Result<DeviceChoice> parse_devices(const std::string& text);

}  // namespace wisp
