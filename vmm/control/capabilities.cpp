#include "vmm/control/capabilities.h"

#include <linux/mman.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>

#include "snapshot/image/state_format.h"
#include "snapshot/image/userfault.h"
#include "virtio/core/device.h"
#include "virtio/vsock/tx_buffer.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/static_templates.h"
#include "vmm/config/balloon.h"
#include "vmm/config/boot.h"
#include "vmm/config/machine.h"
#include "vmm/events/event_fd.h"
#include "vmm/events/io_ring.h"
#include "vmm/kvm/system.h"

namespace wisp {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20U;

struct NamedTemplate {
  const char* name;
  CpuTemplate value;
};
constexpr std::array kTemplates = {
    NamedTemplate{"C3", CpuTemplate::C3},   NamedTemplate{"T2", CpuTemplate::T2},
    NamedTemplate{"T2S", CpuTemplate::T2S}, NamedTemplate{"T2CL", CpuTemplate::T2CL},
    NamedTemplate{"T2A", CpuTemplate::T2A},
};

template <typename Tried>
Availability available_if(const char* name, const Tried& tried) {
  return tried.ok() ? Availability{name, {}} : Availability{name, tried.error().text()};
}

void probe_kvm(HostCapabilities& host) {
  const Result<KvmSystem> kvm = KvmSystem::open();
  host.kvm = available_if("kvm", kvm);
  if (kvm.ok()) {
    host.kvm_max_vcpus = kvm.value().max_vcpus();
  }
}

/// A ring of its own on a descriptor that nobody uses.
Availability probe_async_engine() {
  const Result<EventFd> file = EventFd::create();
  return file.ok() ? available_if("Async", IoRing::create(file.value().ref())) : available_if("Async", file);
}

/// The mapping reserves the page and touches nothing.
Availability probe_huge_pages() {
  void* page = ::mmap(nullptr, kHugePageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
  if (page == MAP_FAILED) {
    return {"2M", Error::host(errno, "cannot reserve a huge page of 2 MiB",
                              "Set some aside on the host (sysctl vm.nr_hugepages)")
                      .text()};
  }
  ::munmap(page, kHugePageBytes);
  return {"2M", {}};
}

Availability probe_transparent_pages() {
  void* page = ::mmap(nullptr, kHugePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool advised = page != MAP_FAILED && ::madvise(page, kHugePageBytes, MADV_HUGEPAGE) == 0;
  Availability result{"Transparent", {}};
  if (!advised) {
    result.obstacle =
        Error::host(errno, "cannot ask for transparent huge pages", "Use a kernel that was built with them").text();
  }
  if (page != MAP_FAILED) {
    ::munmap(page, kHugePageBytes);
  }
  return result;
}

}  // namespace

Capabilities build_capabilities() {
  Capabilities out;
  out.snapshot_version = kSnapshotVersion.text();
  out.transports = {"mmio"};
  out.devices = {"block", "net",    "vsock", "balloon", "entropy",    "pmem",
                 "mem",   "serial", "i8042", "vmgenid", "boot-timer", "vmclock"};
  out.features = {
      {"diff_snapshots", true},
      {"dirty_page_tracking", true},
      {"userfault_restore", true},
      {"memory_hotplug", true},
      {"custom_cpu_templates", true},
      {"live_drive_update", true},
      {"latency_histograms", true},
      {"vhost_user_block", true},
      {"pci", false},
      {"gdb", false},
  };
  out.limits = {
      {"vcpus", kMaxVcpuCount, "processors"},
      {"memory", kMaxStartableMemoryMib, "MiB"},
      {"devices", arch::kMaxMmioDevices, "devices"},
      {"queue_size", kMaxQueueSize, "descriptors"},
      {"kernel_arguments", kMaxCommandLineBytes, "bytes"},
      {"balloon", kMaxBalloonMib, "MiB"},
      {"vsock_connections", kMaxVsockConnections, "connections"},
      {"snapshot_state", kMaxStateFileBytes, "bytes"},
  };
  return out;
}

HostCapabilities probe_host(const ProcessFacts& facts) {
  HostCapabilities host;
  probe_kvm(host);
  host.block_engines = {Availability{"Sync", {}}, probe_async_engine()};
  host.huge_pages = {probe_transparent_pages(), probe_huge_pages()};
  host.userfaultfd = available_if("userfaultfd", try_userfault());
  for (const NamedTemplate& each : kTemplates) {
    host.cpu_templates.push_back(available_if(each.name, arch::load_static_template(each.value, arch::host_cpuid)));
  }
  host.landlock_abi = facts.landlock_abi;
  host.seccomp = facts.filters == SystemCallFilters::On;
  return host;
}

}  // namespace wisp
