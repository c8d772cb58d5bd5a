// What keeps guests apart that share a processor: matters when they belong to different people.
#include <array>

#include "vmm/doctor/checks.h"
#include "vmm/doctor/text.h"

namespace wisp {
namespace {

constexpr const char* kVulnerabilities = "/sys/devices/system/cpu/vulnerabilities";

Finding check_mitigations(const Host& host) {
  std::vector<std::string> open;
  std::vector<std::string> details;
  for (const std::string& name : host.list(kVulnerabilities)) {
    const std::string state = host.read(std::string(kVulnerabilities) + "/" + name).value_or("unknown");
    if (state.find("Vulnerable") != std::string::npos || state.find("vulnerable") != std::string::npos) {
      open.push_back(name);
    }
    details.push_back(name + ": " + state);
  }
  if (details.empty()) {
    return warning("the kernel does not tell what its processor is vulnerable to",
                   "mount /sys; use Linux 4.15 or later");
  }
  Finding finding = open.empty()
                        ? ok("the processor's known weaknesses are mitigated")
                        : warning("the processor is vulnerable, in part or in whole: " + text::join(open, ", "),
                                  "update the microcode and the kernel, and boot without mitigations=off; "
                                  "--verbose shows what the kernel says of each");
  finding.details = std::move(details);
  return finding;
}

Finding check_smt(const Host& host) {
  const std::string control = host.read("/sys/devices/system/cpu/smt/control").value_or("notsupported");
  if (host.read("/sys/devices/system/cpu/smt/active").value_or("0") != "1") {
    return ok("no two threads share a core (SMT " + control + ")");
  }
  return warning(
      "two threads share a core: guests on one core can spy on each other",
      "boot with nosmt=force, or give a core to one tenant at a time (wisp-jailer --cgroup cpuset.cpus=...)");
}

Finding check_ksm(const Host& host) {
  return host.read("/sys/kernel/mm/ksm/run").value_or("0") == "1"
             ? warning("the kernel merges equal pages (KSM): a guest can tell what another one has in memory",
                       "echo 2 > /sys/kernel/mm/ksm/run, and keep it off at boot")
             : ok("equal pages are not merged (KSM is off)");
}

/// L1TF: the first-level cache is flushed before a guest runs.
Finding check_cache_flush(const Host& host) {
  const std::string bug = host.read(std::string(kVulnerabilities) + "/l1tf").value_or("Not affected");
  const std::string mode = host.read("/sys/module/kvm_intel/parameters/vmentry_l1d_flush").value_or("");
  if (bug.starts_with("Not affected") || mode == "cond" || mode == "always" || mode == "not required") {
    return ok("guests cannot read what the first-level cache holds");
  }
  return warning("the first-level cache is not flushed when a guest is entered (L1TF), mode '" + mode + "'",
                 "boot with l1tf=full,force");
}

Finding check_nesting(const Host& host) {
  for (const char* module : {"kvm_intel", "kvm_amd"}) {
    const std::string nested = host.read(std::string("/sys/module/") + module + "/parameters/nested").value_or("0");
    if (nested == "1" || nested == "Y") {
      return warning(std::string("nested virtualisation is on in ") + module +
                         ": most break-outs of recent years went through it; wisp hides it from guests",
                     std::string("echo options ") + module +
                         " nested=0 > /etc/modprobe.d/kvm-nested.conf, unless other "
                         "guests of this host need it");
    }
  }
  return ok("nested virtualisation is off");
}

constexpr std::array kChecks = {
    HostCheck{"mitigations", check_mitigations}, HostCheck{"smt", check_smt},         HostCheck{"ksm", check_ksm},
    HostCheck{"l1tf", check_cache_flush},        HostCheck{"nesting", check_nesting},
};

}  // namespace

std::span<const HostCheck> isolation_checks() {
  return kChecks;
}

}  // namespace wisp
