#include <algorithm>
#include <array>

#include "vmm/doctor/checks.h"
#include "vmm/doctor/text.h"

namespace wisp {
namespace {

constexpr int kFullLandlock = 6;  // devices, TCP, abstract sockets, signals

Finding check_seccomp(const Host& host) {
  return host.probe(Probe::Seccomp) == 0
             ? ok("seccomp filters are there")
             : failure(
                   "the kernel has no seccomp filters: the monitor cannot confine itself and does not start",
                   "use a kernel with CONFIG_SECCOMP_FILTER; --no-seccomp runs without, never for strangers' guests");
}

Finding check_landlock(const Host& host) {
  const int abi = host.landlock_abi();
  if (abi >= kFullLandlock) {
    return ok("Landlock has ABI " + std::to_string(abi));
  }
  if (abi > 0) {
    return warning("Landlock has ABI " + std::to_string(abi) + "; ABI 6 also covers TCP, devices, sockets and signals",
                   "use Linux 6.12 or later");
  }
  return warning("there is no Landlock: wisp runs without this layer",
                 "use Linux 5.13 or later with landlock among the modules of the boot parameter lsm=");
}

Finding check_mseal(const Host& host) {
  return host.probe(Probe::Mseal) == 0
             ? ok("mseal is there")
             : warning("there is no mseal: the monitor's code is not sealed against remapping",
                       "use Linux 6.10 or later");
}

Finding check_mdwe(const Host& host) {
  return host.probe(Probe::Mdwe) == 0
             ? ok("PR_SET_MDWE is there")
             : warning("there is no PR_SET_MDWE: only the filters keep memory from becoming executable",
                       "use Linux 6.3 or later");
}

struct CgroupMounts {
  bool has_v1 = false;
  std::string v2;  ///< where; empty: nowhere
  std::vector<std::string> v1_controllers;
};

CgroupMounts cgroup_mounts(const Host& host) {
  CgroupMounts found;
  for (const std::string& line : text::lines(host.read("/proc/mounts").value_or(""))) {
    const auto fields = text::split(line, ' ');
    if (fields.size() < 4) {
      continue;
    }
    if (fields[2] == "cgroup2") {
      found.v2 = fields[1];
    } else if (fields[2] == "cgroup") {
      found.has_v1 = true;
      for (const std::string& option : text::split(fields[3], ',')) {
        found.v1_controllers.push_back(option);
      }
    }
  }
  return found;
}

/// The jailer limits a machine's processor time, memory and number of threads.
Finding check_cgroups(const Host& host) {
  constexpr std::array kWanted = {"cpu", "memory", "pids"};
  const CgroupMounts mounts = cgroup_mounts(host);
  if (!mounts.has_v1 && mounts.v2.empty()) {
    return warning("no cgroups are mounted: wisp-jailer --cgroup cannot limit machines",
                   "mount -t cgroup2 none /sys/fs/cgroup");
  }
  const auto v2 = text::words(host.read(mounts.v2 + "/cgroup.controllers").value_or(""));
  const bool is_v2 = std::ranges::all_of(kWanted, [&](const char* name) { return text::contains(v2, name); });
  if (is_v2) {
    return ok("cgroup version 2 has " + text::join(v2, " ") + " (wisp-jailer --cgroup-version 2)");
  }
  std::vector<std::string> missing;
  for (const char* name : kWanted) {
    if (!text::contains(mounts.v1_controllers, name) && !text::contains(v2, name)) {
      missing.emplace_back(name);
    }
  }
  if (missing.empty()) {
    return warning(
        "the controllers are in cgroup version 1, which the kernel's developers leave behind",
        "wisp-jailer --cgroup-version 1 (the default) works; boot with systemd.unified_cgroup_hierarchy=1 for "
        "version 2");
  }
  return warning("no cgroup controllers for: " + text::join(missing, ", "),
                 "boot with cgroup_enable=memory, or switch them on in cgroup.subtree_control of every folder above");
}

Finding check_user_namespaces(const Host& host) {
  const bool allowed = host.read("/proc/sys/user/max_user_namespaces").value_or("1") != "0" &&
                       host.read("/proc/sys/kernel/unprivileged_userns_clone").value_or("1") != "0";
  return allowed ? ok("user namespaces may be made (wisp needs none; its network tests do)")
                 : warning("user namespaces may not be made: wisp needs none, but its network tests are skipped",
                           "nothing for production; for tests sysctl user.max_user_namespaces=1000 "
                           "kernel.unprivileged_userns_clone=1");
}

constexpr std::array kChecks = {
    HostCheck{"seccomp", check_seccomp}, HostCheck{"landlock", check_landlock},
    HostCheck{"mseal", check_mseal},     HostCheck{"mdwe", check_mdwe},
    HostCheck{"cgroups", check_cgroups}, HostCheck{"user-namespaces", check_user_namespaces},
};

}  // namespace

std::span<const HostCheck> confinement_checks() {
  return kChecks;
}

}  // namespace wisp
