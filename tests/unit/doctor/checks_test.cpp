#include "vmm/doctor/checks.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <set>

#include "tests/unit/doctor/fake_host.h"
#include "vmm/doctor/known_kernels.h"

namespace wisp {
namespace {

Finding finding_of(const std::string& check, const Host& host) {
  for (const HostCheck& each : all_checks()) {
    if (each.name == check) {
      return each.run(host);
    }
  }
  FAIL("there is no check " << check);
  return {};
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kBugs = "/sys/devices/system/cpu/vulnerabilities/";

/// A host with one thing wrong, what is said of it, and a word of the remedy.
struct BrokenHost {
  const char* check;
  std::function<void(FakeHost&)> damage;
  Level level;
  const char* text;
  const char* remedy;
};

void kernel(FakeHost& host, const char* release) {
  host.files["/proc/sys/kernel/osrelease"] = release;
}

const std::vector<BrokenHost>& broken_hosts() {
  using enum Level;
  static const std::vector<BrokenHost> kHosts = {
      {"processor", [](FakeHost& h) { h.files["/proc/cpuinfo"] = "flags : fpu sse"; }, Warning, "neither VT-x nor SVM",
       "firmware"},
      {"processor", [](FakeHost& h) { h.files.erase("/proc/cpuinfo"); }, Warning, "does not tell", "mount /proc"},
      {"kvm-device", [](FakeHost& h) { h.devices.erase("/dev/kvm"); }, Failure, "not there", "modprobe kvm_intel"},
      {"kvm-access", [](FakeHost& h) { h.open_errors["/dev/kvm"] = EACCES; }, Failure, "may not be opened by ada",
       "usermod -aG kvm ada"},
      {"kvm-access", [](FakeHost& h) { h.open_errors["/dev/kvm"] = ENXIO; }, Failure, "No such device", "modprobe"},
      {"kvm-group", [](FakeHost& h) { h.devices.erase("/dev/kvm"); }, Failure, "no /dev/kvm", "modprobe"},
      {"kvm-group", [](FakeHost& h) { h.devices["/dev/kvm"].mode = 0666; }, Warning, "every user", "chmod 0660"},
      {"kvm-group", [](FakeHost& h) { h.who.groups = {1000}; }, Warning, "not in the group of /dev/kvm, kvm",
       "usermod -aG kvm ada"},
      {"kvm-version", [](FakeHost& h) { h.api_version = -1; }, Failure, "cannot be asked", "modprobe"},
      {"kvm-version", [](FakeHost& h) { h.api_version = 11; }, Failure, "version 11", "5.10"},
      {"kernel", [](FakeHost& h) { kernel(h, "5.9.16"); }, Failure, "older than 5.10", "5.10 or later"},
      {"kernel", [](FakeHost& h) { kernel(h, ""); }, Warning, "not known", "mount /proc"},
      {"kernel-faults", [](FakeHost& h) { kernel(h, "6.1.105-aws"); }, Warning, "EINVAL", "6.1.107"},
      {"vm-creation", [](FakeHost& h) { h.files["/proc/mounts"] = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0"; }, Warning,
       "cgroup lock", "remount,favordynmods"},
      {"vm-creation",
       [](FakeHost& h) {
         h.files["/proc/mounts"] = "";
         h.files[kBugs + "itlb_multihit"] = "Not affected";
       },
       Warning, "cgroup lock", "kvm.nx_huge_pages=never"},
      {"clock-source",
       [](FakeHost& h) { h.files["/sys/devices/system/clocksource/clocksource0/current_clocksource"] = "hpet"; },
       Warning, "hpet", "clocksource=tsc"},
      {"tun", [](FakeHost& h) { h.open_errors["/dev/net/tun"] = ENOENT; }, Warning, "no network", "modprobe tun"},
      {"tun", [](FakeHost& h) { h.open_errors["/dev/net/tun"] = EACCES; }, Warning, "Permission denied", "chmod 0666"},
      {"userfaultfd",
       [](FakeHost& h) {
         h.probe_errors[Probe::Userfaultfd] = ENOSYS;
         h.devices.erase("/dev/userfaultfd");
       },
       Warning, "no userfaultfd", "CONFIG_USERFAULTFD"},
      {"userfaultfd",
       [](FakeHost& h) {
         h.probe_errors[Probe::Userfaultfd] = EPERM;
         h.files["/proc/sys/vm/unprivileged_userfaultfd"] = "0";
       },
       Warning, "not allowed", "vm.unprivileged_userfaultfd=1"},
      {"io-uring",
       [](FakeHost& h) {
         h.probe_errors[Probe::IoUring] = EPERM;
         h.files["/proc/sys/kernel/io_uring_disabled"] = "2";
       },
       Warning, "io_uring_disabled=2", "sysctl kernel.io_uring_disabled=0"},
      {"io-uring", [](FakeHost& h) { h.probe_errors[Probe::IoUring] = ENOSYS; }, Warning, "not implemented",
       "io_engine Sync"},
      {"io-uring", [](FakeHost& h) { h.probe_errors[Probe::IoUring] = ENOMEM; }, Warning, "memory", "ulimit -l"},
      {"seccomp", [](FakeHost& h) { h.probe_errors[Probe::Seccomp] = EINVAL; }, Failure, "no seccomp filters",
       "CONFIG_SECCOMP_FILTER"},
      {"landlock", [](FakeHost& h) { h.landlock = 0; }, Warning, "no Landlock", "lsm="},
      {"landlock", [](FakeHost& h) { h.landlock = 5; }, Warning, "ABI 5", "6.12"},
      {"mseal", [](FakeHost& h) { h.probe_errors[Probe::Mseal] = ENOSYS; }, Warning, "no mseal", "6.10"},
      {"mdwe", [](FakeHost& h) { h.probe_errors[Probe::Mdwe] = EINVAL; }, Warning, "no PR_SET_MDWE", "6.3"},
      {"cgroups", [](FakeHost& h) { h.files["/proc/mounts"] = "proc /proc proc rw 0 0"; }, Warning, "no cgroups",
       "mount -t cgroup2"},
      {"cgroups", [](FakeHost& h) { h.files["/sys/fs/cgroup/cgroup.controllers"] = "cpu pids"; }, Warning,
       "no cgroup controllers for: memory", "cgroup_enable=memory"},
      {"cgroups",
       [](FakeHost& h) {
         h.files["/proc/mounts"] =
             "cgroup /c/cpu cgroup rw,cpu 0 0\ncgroup /c/m cgroup rw,memory 0 0\n"
             "cgroup /c/p cgroup rw,pids 0 0";
       },
       Warning, "cgroup version 1", "unified_cgroup_hierarchy"},
      {"user-namespaces", [](FakeHost& h) { h.files["/proc/sys/user/max_user_namespaces"] = "0"; }, Warning,
       "may not be made", "max_user_namespaces"},
      {"user-namespaces", [](FakeHost& h) { h.files["/proc/sys/kernel/unprivileged_userns_clone"] = "0"; }, Warning,
       "may not be made", "unprivileged_userns_clone"},
      {"memory", [](FakeHost& h) { h.files["/proc/meminfo"] = "MemAvailable: 524287 kB"; }, Warning, "511 MiB",
       "larger"},
      {"memory", [](FakeHost& h) { h.files["/proc/meminfo"] = "MemAvailable: 65535 kB"; }, Failure, "63 MiB", "larger"},
      {"overcommit", [](FakeHost& h) { h.files["/proc/sys/vm/overcommit_memory"] = "2"; }, Warning,
       "overcommit_memory=2", "overcommit_memory=0"},
      {"huge-pages", [](FakeHost& h) { h.files.erase("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"); },
       Warning, "no 2 MiB pages", "CONFIG_HUGETLBFS"},
      {"huge-pages", [](FakeHost& h) { h.files["/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"] = "0"; },
       Warning, "0 of 64", "vm.nr_hugepages"},
      {"transparent-pages",
       [](FakeHost& h) { h.files["/sys/kernel/mm/transparent_hugepage/enabled"] = "always madvise [never]"; }, Warning,
       "no transparent", "echo madvise"},
      {"open-files",
       [](FakeHost& h) {
         h.limit = {1024, 2047, 1U << 30U};
       },
       Warning, "1024 open files", "ulimit -n"},
      {"locked-memory",
       [](FakeHost& h) {
         h.limit.locked_bytes = 64 * 1024;
         kernel(h, "5.10.200");
       },
       Warning, "64 KiB", "ulimit -l"},
      {"swap", [](FakeHost& h) { h.files["/proc/swaps"] = "Filename Type\n/dev/sda2 partition 1 0 -2"; }, Warning,
       "1 swap area is", "swapoff -a"},
      {"mitigations", [](FakeHost& h) { h.files[kBugs + "mds"] = "Vulnerable; SMT vulnerable"; }, Warning, "mds",
       "microcode"},
      {"mitigations",
       [](FakeHost& h) {
         h.files.erase(kBugs + "l1tf");
         h.files.erase(kBugs + "itlb_multihit");
       },
       Warning, "does not tell", "mount /sys"},
      {"smt", [](FakeHost& h) { h.files["/sys/devices/system/cpu/smt/active"] = "1"; }, Warning, "share a core",
       "nosmt=force"},
      {"ksm", [](FakeHost& h) { h.files["/sys/kernel/mm/ksm/run"] = "1"; }, Warning, "KSM", "ksm/run"},
      {"l1tf", [](FakeHost& h) { h.files["/sys/module/kvm_intel/parameters/vmentry_l1d_flush"] = "never"; }, Warning,
       "L1TF", "l1tf=full,force"},
      {"nesting", [](FakeHost& h) { h.files["/sys/module/kvm_intel/parameters/nested"] = "Y"; }, Warning, "kvm_intel",
       "nested=0"},
      {"nesting", [](FakeHost& h) { h.files["/sys/module/kvm_amd/parameters/nested"] = "1"; }, Warning, "kvm_amd",
       "nested=0"},
  };
  return kHosts;
}

}  // namespace

TEST_CASE("a host where nothing is wrong passes every check, without remedies") {
  const HostReport report = examine(FakeHost());
  for (const CheckResult& each : report.results) {
    INFO(each.name << ": " << each.finding.text);
    CHECK(each.finding.level == Level::Ok);
    CHECK(each.finding.remedy.empty());
  }
  CHECK(report.verdict() == Level::Ok);
}

TEST_CASE("a host with one thing wrong is told so by the right check, with the remedy") {
  for (const BrokenHost& each : broken_hosts()) {
    FakeHost host;
    each.damage(host);
    const Finding finding = finding_of(each.check, host);
    INFO(each.check << ": " << finding.text << " / " << finding.remedy);
    CHECK(finding.level == each.level);
    CHECK(says(finding.text, each.text));
    CHECK(says(finding.remedy, each.remedy));
    CHECK(examine(host).verdict() >= each.level);
  }
}

TEST_CASE("every check is shown a broken host by these tests") {
  std::set<std::string> shown = {"kvm-needed", "kvm-optional"};  // below
  for (const BrokenHost& each : broken_hosts()) {
    shown.insert(each.check);
  }
  for (const HostCheck& each : all_checks()) {
    INFO(each.name);
    CHECK(shown.contains(each.name));
  }
}

TEST_CASE("a missing capability is named: a failure when it is needed, else a warning with what is lost") {
  for (const KvmCapability& each : needed_kvm_capabilities()) {
    FakeHost host;
    host.absent_capabilities = {each.number};
    const Finding finding = finding_of("kvm-needed", host);
    CHECK(finding.level == Level::Failure);
    CHECK(says(finding.text, each.name));
  }
  for (const KvmCapability& each : optional_kvm_capabilities()) {
    FakeHost host;
    host.absent_capabilities = {each.number};
    const Finding finding = finding_of("kvm-optional", host);
    CHECK(finding.level == Level::Warning);
    CHECK(says(finding.text, each.name));
    CHECK(says(finding.text, each.lost));
    CHECK(finding_of("kvm-needed", host).level == Level::Ok);
  }
}

TEST_CASE("every known kernel fault begins and ends with the right version") {
  for (const KnownKernel& known : known_kernels()) {
    const auto release = [](text::KernelVersion version) {
      return std::to_string(version.major) + "." + std::to_string(version.minor) + "." + std::to_string(version.patch);
    };
    FakeHost host;
    host.files["/proc/sys/kernel/osrelease"] = release(known.first);
    CHECK(says(finding_of("kernel-faults", host).text, known.symptom));
    host.files["/proc/sys/kernel/osrelease"] = release(known.repaired);
    CHECK_FALSE(says(finding_of("kernel-faults", host).text, known.symptom));
  }
}

TEST_CASE("root without the group, a little locked memory on a new kernel, and no huge pages set aside are fine") {
  FakeHost host;
  host.who = {0, "root", {0}};
  host.limit.locked_bytes = 64 * 1024;
  host.files["/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"] = "0";
  host.files["/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"] = "0";
  CHECK(examine(host).verdict() == Level::Ok);
}

TEST_CASE("an empty host, where nothing can be read, is a list of findings and no accident") {
  FakeHost host;
  host.files.clear();
  host.devices.clear();
  CHECK(examine(host).results.size() == all_checks().size());
}

TEST_CASE("names of checks are unique and every unhappy finding has a remedy") {
  std::set<std::string> names;
  FakeHost host;
  host.files.clear();
  for (const CheckResult& each : examine(host).results) {
    CHECK(names.insert(each.name).second);
    CHECK((each.finding.level == Level::Ok || !each.finding.remedy.empty()));
  }
}

TEST_CASE("looking at this very host changes nothing that it can see") {
  const ThisHost host;
  const auto before = host.list("/proc/self/fd").size();
  const HostReport report = examine(host);
  CHECK(report.results.size() == all_checks().size());
  CHECK(host.list("/proc/self/fd").size() == before);
}

}  // namespace wisp
