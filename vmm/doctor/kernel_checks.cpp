#include <array>
#include <cerrno>
#include <cstring>

#include "vmm/doctor/checks.h"
#include "vmm/doctor/known_kernels.h"
#include "vmm/doctor/text.h"

namespace wisp {
namespace {

constexpr text::KernelVersion kOldestKernel{5, 10, 0};
constexpr const char* kTun = "/dev/net/tun";

std::string release_of(const Host& host) {
  return host.read("/proc/sys/kernel/osrelease").value_or("");
}

Finding check_kernel(const Host& host) {
  const std::string release = release_of(host);
  const auto version = text::kernel_version(release);
  if (!version) {
    return warning("the kernel's version is not known: '" + release + "'", "mount /proc");
  }
  return *version >= kOldestKernel ? ok("Linux " + release)
                                   : failure("Linux " + release + " is older than 5.10", "use Linux 5.10 or later");
}

Finding check_known_faults(const Host& host) {
  const auto version = text::kernel_version(release_of(host));
  std::vector<std::string> symptoms;
  std::vector<std::string> remedies;
  std::vector<std::string> details;
  for (const KnownKernel& known : known_kernels()) {
    if (version && *version >= known.first && *version < known.repaired) {
      symptoms.emplace_back(known.symptom);
      remedies.emplace_back(known.remedy);
      details.push_back(std::string(known.symptom) + " (" + known.source + ")");
    }
  }
  if (symptoms.empty()) {
    return ok("no fault of this kernel is known to wisp");
  }
  Finding finding = warning(text::join(symptoms, "; "), text::join(remedies, "; "));
  finding.details = std::move(details);
  return finding;
}

/// Making a VM starts a kernel thread that enters the caller's cgroups, under a lock that waits for grace periods.
Finding check_vm_creation(const Host& host) {
  const std::string huge = host.read("/sys/module/kvm/parameters/nx_huge_pages").value_or("never");
  const std::string bug = host.read("/sys/devices/system/cpu/vulnerabilities/itlb_multihit").value_or("Not affected");
  bool dynamic = false;
  for (const std::string& line : text::lines(host.read("/proc/mounts").value_or(""))) {
    dynamic = dynamic || (line.find(" cgroup") != std::string::npos && line.find("favordynmods") != std::string::npos);
  }
  if (huge == "never" || huge == "N" || dynamic) {
    return ok("making a VM does not wait for the cgroup lock");
  }
  if (bug.starts_with("Not affected")) {
    return warning("making a VM may wait 10 to 100 ms for the cgroup lock (kvm.nx_huge_pages=" + huge + ")",
                   "this processor does not need it: boot with kvm.nx_huge_pages=never; or mount cgroups with "
                   "favordynmods");
  }
  return warning("making a VM may wait 10 to 100 ms for the cgroup lock (kvm.nx_huge_pages=" + huge + ")",
                 "mount -o remount,favordynmods /sys/fs/cgroup");
}

Finding check_clock(const Host& host) {
  const std::string source =
      host.read("/sys/devices/system/clocksource/clocksource0/current_clocksource").value_or("unknown");
  if (source == "tsc" || source == "kvm-clock") {
    return ok("the clock source is " + source);
  }
  return warning("the clock source is " + source + ": reading the time is slow and guests' clocks may jump",
                 "boot with clocksource=tsc tsc=reliable if the processor's TSC is invariant");
}

Finding check_tun(const Host& host) {
  const int error = host.open_error(kTun);
  if (error == 0) {
    return ok("/dev/net/tun can be opened (vhost modules are not needed)");
  }
  return warning(
      std::string("/dev/net/tun: ") + std::strerror(error) + "; machines can have no network interfaces",
      error == ENOENT ? "modprobe tun" : "chmod 0666 /dev/net/tun (the usual mode; the rights are those of each TAP)");
}

Finding check_userfaultfd(const Host& host) {
  if (host.probe(Probe::Userfaultfd) == 0) {
    return ok("userfaultfd is there, with faults of the kernel");
  }
  const std::string setting = host.read("/proc/sys/vm/unprivileged_userfaultfd").value_or("");
  if (setting.empty() && !host.device("/dev/userfaultfd")) {
    return warning("the kernel has no userfaultfd; memory cannot be restored on demand (backend Uffd)",
                   "use a kernel with CONFIG_USERFAULTFD");
  }
  return warning("userfaultfd is not allowed here; memory cannot be restored on demand (backend Uffd)",
                 "give the user /dev/userfaultfd (chmod 0660, chgrp kvm), or CAP_SYS_PTRACE, or sysctl "
                 "vm.unprivileged_userfaultfd=1; wisp-jailer hands the device over by itself");
}

Finding check_io_uring(const Host& host) {
  const int error = host.probe(Probe::IoUring);
  const std::string disabled = host.read("/proc/sys/kernel/io_uring_disabled").value_or("0");
  if (error == 0) {
    return ok("io_uring is there");
  }
  if (disabled != "0") {
    return warning(
        "io_uring is switched off (kernel.io_uring_disabled=" + disabled + "); no drives with the Async engine",
        "sysctl kernel.io_uring_disabled=0, or io_engine Sync");
  }
  return warning(std::string("io_uring: ") + std::strerror(error) + "; no drives with the Async engine",
                 error == ENOMEM ? "raise the limit on locked memory (ulimit -l), or io_engine Sync"
                                 : "use a kernel with io_uring that nobody forbids (containers do), or io_engine Sync");
}

constexpr std::array kChecks = {
    HostCheck{"kernel", check_kernel},
    HostCheck{"kernel-faults", check_known_faults},
    HostCheck{"vm-creation", check_vm_creation},
    HostCheck{"clock-source", check_clock},
    HostCheck{"tun", check_tun},
    HostCheck{"userfaultfd", check_userfaultfd},
    HostCheck{"io-uring", check_io_uring},
};

}  // namespace

std::span<const HostCheck> kernel_checks() {
  return kChecks;
}

}  // namespace wisp
