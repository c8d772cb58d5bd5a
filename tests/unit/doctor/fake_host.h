// FakeHost: a host as a test wants it. It begins as one where nothing is wrong.
#pragma once

#include <map>
#include <set>

#include "vmm/doctor/host.h"
#include "vmm/kvm/capabilities.h"

namespace wisp {

class FakeHost final : public Host {
 public:
  std::map<std::string, std::string> files = {
      {"/proc/cpuinfo", "processor : 0\nflags : fpu vmx sse"},
      {"/proc/sys/kernel/osrelease", "6.12.3-cloud"},
      {"/proc/mounts", "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,favordynmods 0 0"},
      {"/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids"},
      {"/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB"},
      {"/proc/swaps", "Filename Type Size Used Priority"},
      {"/proc/sys/vm/overcommit_memory", "0"},
      {"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64"},
      {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "60"},
      {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"},
      {"/sys/kernel/mm/ksm/run", "0"},
      {"/sys/devices/system/cpu/smt/active", "0"},
      {"/sys/devices/system/cpu/smt/control", "forceoff"},
      {"/sys/devices/system/cpu/vulnerabilities/l1tf", "Mitigation: PTE Inversion; VMX: cache flushes, SMT disabled"},
      {"/sys/devices/system/cpu/vulnerabilities/itlb_multihit", "KVM: Mitigation: Split huge pages"},
      {"/sys/module/kvm_intel/parameters/vmentry_l1d_flush", "always"},
      {"/sys/module/kvm_intel/parameters/nested", "N"},
      {"/sys/module/kvm/parameters/nx_huge_pages", "Y"},
      {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"},
  };
  std::map<std::string, DeviceNode> devices = {{"/dev/kvm", {0, 104, 0660, "kvm"}},
                                               {"/dev/userfaultfd", {0, 104, 0660, "kvm"}}};
  std::map<std::string, int> open_errors;
  std::map<Probe, int> probe_errors;
  std::set<int> absent_capabilities;
  int landlock = 7;
  int api_version = 12;
  User who = {1000, "ada", {1000, 104}};
  Limits limit = {20000, 20000, 64U << 20U};

  std::optional<std::string> read(const std::string& path) const override {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<std::string> list(const std::string& folder) const override {
    std::vector<std::string> names;
    for (const auto& [path, text] : files) {
      if (path.starts_with(folder + "/")) {
        names.push_back(path.substr(folder.size() + 1));
      }
    }
    return names;
  }
  std::optional<DeviceNode> device(const std::string& path) const override {
    const auto found = devices.find(path);
    return found == devices.end() ? std::nullopt : std::optional(found->second);
  }
  int open_error(const std::string& path) const override {
    const auto found = open_errors.find(path);
    return found == open_errors.end() ? 0 : found->second;
  }
  int probe(Probe which) const override {
    const auto found = probe_errors.find(which);
    return found == probe_errors.end() ? 0 : found->second;
  }
  int landlock_abi() const override { return landlock; }
  int kvm_api_version() const override { return api_version; }
  int kvm_capability(int number) const override { return absent_capabilities.contains(number) ? 0 : 1024; }
  User user() const override { return who; }
  Limits limits() const override { return limit; }
};

}  // namespace wisp
