#include <array>
#include <cerrno>
#include <cstring>

#include "vmm/doctor/checks.h"
#include "vmm/doctor/text.h"
#include "vmm/kvm/capabilities.h"

namespace wisp {
namespace {

constexpr const char* kKvm = "/dev/kvm";
constexpr int kApiVersion = 12;
constexpr const char* kLoadModule =
    "switch virtualisation on in the firmware (VT-x or SVM), then modprobe kvm_intel or modprobe kvm_amd; in a virtual "
    "machine, ask its host for nested virtualisation";

Finding check_processor(const Host& host) {
  for (const std::string& line : text::lines(host.read("/proc/cpuinfo").value_or(""))) {
    if (!line.starts_with("flags")) {
      continue;
    }
    const auto flags = text::words(line);
    if (text::contains(flags, "vmx")) {
      return ok("the processor has Intel VT-x");
    }
    if (text::contains(flags, "svm")) {
      return ok("the processor has AMD SVM");
    }
    return warning(
        "the processor shows neither VT-x nor SVM: if there is a KVM, it works in software, slowly, and stock "
        "kernels may not boot",
        "use a host with hardware virtualisation, or switch it on in the firmware");
  }
  return warning("/proc/cpuinfo does not tell what the processor can", "mount /proc");
}

Finding check_device(const Host& host) {
  if (!host.device(kKvm)) {
    return failure("/dev/kvm is not there", kLoadModule);
  }
  return ok("/dev/kvm is there");
}

Finding check_access(const Host& host) {
  const int error = host.open_error(kKvm);
  if (error == 0) {
    return ok("/dev/kvm can be opened by " + host.user().name);
  }
  if (error == EACCES || error == EPERM) {
    const auto device = host.device(kKvm);
    const std::string group = device ? device->group_name : "kvm";
    return failure("/dev/kvm may not be opened by " + host.user().name,
                   "usermod -aG " + group + " " + host.user().name +
                       ", then log in again; in a container, hand the "
                       "device over (--device /dev/kvm)");
  }
  return failure(std::string("/dev/kvm cannot be opened: ") + std::strerror(error), kLoadModule);
}

/// The group is how people and daemons are let in without being root.
Finding check_group(const Host& host) {
  const auto device = host.device(kKvm);
  if (!device) {
    return failure("there is no /dev/kvm to belong to a group", kLoadModule);
  }
  constexpr mode_t kGroupMayUse = 0060;
  constexpr mode_t kOthersMayUse = 0006;
  if ((device->mode & kOthersMayUse) == kOthersMayUse) {
    return warning("every user of this host may use /dev/kvm", "chmod 0660 /dev/kvm, and chgrp kvm /dev/kvm");
  }
  const User user = host.user();
  if ((device->mode & kGroupMayUse) == kGroupMayUse) {
    for (const gid_t group : user.groups) {
      if (group == device->group) {
        return ok(user.name + " is in the group " + device->group_name + ", which /dev/kvm belongs to");
      }
    }
  }
  if (user.id == 0) {
    return ok("/dev/kvm is root's; wisp-jailer makes a node of its own for the monitor's user");
  }
  return warning(user.name + " is not in the group of /dev/kvm, " + device->group_name,
                 "usermod -aG " + device->group_name + " " + user.name + ", then log in again");
}

Finding check_version(const Host& host) {
  const int version = host.kvm_api_version();
  if (version == kApiVersion) {
    return ok("KVM answers API version 12");
  }
  return version < 0 ? failure("/dev/kvm cannot be asked for its version", kLoadModule)
                     : failure("KVM answers API version " + std::to_string(version) + ", wisp needs 12",
                               "use Linux 5.10 or later; is /dev/kvm the KVM device?");
}

struct Survey {
  std::vector<std::string> missing;
  std::vector<std::string> lost;
  std::vector<std::string> details;
};

Survey survey(const Host& host, std::span<const KvmCapability> wanted) {
  Survey found;
  for (const KvmCapability& each : wanted) {
    const int value = host.kvm_capability(each.number);
    const bool is_there = value >= each.minimum;
    if (!is_there) {
      found.missing.emplace_back(each.name);
      found.lost.emplace_back(each.lost);
    }
    found.details.push_back(std::string(is_there ? "has   " : "lacks ") + each.name + " = " + std::to_string(value) +
                            (is_there ? "" : std::string(", lost: ") + each.lost));
  }
  return found;
}

Finding check_needed(const Host& host) {
  const auto wanted = needed_kvm_capabilities();
  const Survey found = survey(host, wanted);
  Finding finding = found.missing.empty()
                        ? ok("KVM has all " + std::to_string(wanted.size()) + " capabilities that wisp needs")
                        : failure("KVM lacks " + text::join(found.missing, ", "), "use Linux 5.10 or later");
  finding.details = found.details;
  return finding;
}

Finding check_optional(const Host& host) {
  const auto wanted = optional_kvm_capabilities();
  const Survey found = survey(host, wanted);
  Finding finding = found.missing.empty()
                        ? ok("KVM has all " + std::to_string(wanted.size()) + " capabilities that wisp can use")
                        : warning("KVM lacks " + text::join(found.missing, ", ") +
                                      "; without it there is no: " + text::join(found.lost, "; "),
                                  "a newer kernel or processor may have it; wisp does without");
  finding.details = found.details;
  return finding;
}

constexpr std::array kChecks = {
    HostCheck{"processor", check_processor},   HostCheck{"kvm-device", check_device},
    HostCheck{"kvm-access", check_access},     HostCheck{"kvm-group", check_group},
    HostCheck{"kvm-version", check_version},   HostCheck{"kvm-needed", check_needed},
    HostCheck{"kvm-optional", check_optional},
};

}  // namespace

std::span<const HostCheck> kvm_checks() {
  return kChecks;
}

}  // namespace wisp
