#include <array>

#include "vmm/doctor/checks.h"
#include "vmm/doctor/text.h"

namespace wisp {
namespace {

constexpr std::uint64_t kKib = 1024;
constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kTooLittleMib = 64;
constexpr std::uint64_t kLittleMib = 512;
/// A machine with 17 devices has some hundred descriptors; vsock connections come on top.
constexpr std::uint64_t kWantedOpenFiles = 2048;
/// Kernels before 5.12 lock the memory of each io_uring.
constexpr std::uint64_t kWantedLockedBytes = 8 * kMib;

/// A row of /proc/meminfo, in KiB.
std::uint64_t memory_row_kib(const Host& host, std::string_view name) {
  for (const std::string& line : text::lines(host.read("/proc/meminfo").value_or(""))) {
    const auto words = text::words(line);
    if (words.size() >= 2 && words[0] == name) {
      return text::number(words[1]).value_or(0);
    }
  }
  return 0;
}

Finding check_memory(const Host& host) {
  const std::uint64_t free_mib = memory_row_kib(host, "MemAvailable:") / kKib;
  const std::string text = std::to_string(free_mib) + " MiB of memory are available";
  if (free_mib >= kLittleMib) {
    return ok(text);
  }
  const char* remedy = "end what uses it, or use a larger host";
  return free_mib < kTooLittleMib ? failure(text + ", too little for any guest", remedy)
                                  : warning(text + ", enough for a small guest only", remedy);
}

Finding check_overcommit(const Host& host) {
  const std::string mode = host.read("/proc/sys/vm/overcommit_memory").value_or("0");
  return mode == "2" ? warning("vm.overcommit_memory=2: each guest's whole memory is counted when it starts",
                               "sysctl vm.overcommit_memory=0, or plan for the sum of all guests' memory")
                     : ok("guest memory is paid for when it is touched (vm.overcommit_memory=" + mode + ")");
}

Finding check_huge_pages(const Host& host) {
  const std::string folder = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  const auto all = text::number(host.read(folder + "nr_hugepages").value_or(""));
  const auto free = text::number(host.read(folder + "free_hugepages").value_or(""));
  if (!all || !free) {
    return warning("the kernel has no 2 MiB pages: machines with huge_pages 2M are refused",
                   "use a kernel with CONFIG_HUGETLBFS");
  }
  if (*all == 0) {
    return ok("no 2 MiB pages are set aside; only machines with huge_pages 2M need them (sysctl vm.nr_hugepages=N)");
  }
  const std::string text = std::to_string(*free) + " of " + std::to_string(*all) + " pages of 2 MiB are free";
  return *free == 0 ? warning(text + ": the next machine with huge_pages 2M is refused",
                              "sysctl vm.nr_hugepages=N with a larger N")
                    : ok(text);
}

Finding check_transparent_pages(const Host& host) {
  const std::string mode = text::chosen(host.read("/sys/kernel/mm/transparent_hugepage/enabled").value_or(""));
  if (mode == "always" || mode == "madvise") {
    return ok("transparent huge pages: " + mode);
  }
  return warning("there are no transparent huge pages: machines with huge_pages Transparent get small ones",
                 "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

Finding check_open_files(const Host& host) {
  const Limits limits = host.limits();
  const std::string text = "up to " + std::to_string(limits.open_files) + " open files";
  return limits.open_files >= kWantedOpenFiles || limits.open_files_hard >= kWantedOpenFiles
             ? ok(text + " (at most " + std::to_string(limits.open_files_hard) + ")")
             : warning(text + ": a machine with many vsock connections needs more",
                       "ulimit -n 2048, LimitNOFILE= of the unit, or wisp-jailer --resource-limit no-file=2048");
}

Finding check_locked_memory(const Host& host) {
  const Limits limits = host.limits();
  if (limits.locked_bytes >= kWantedLockedBytes) {
    return ok("enough memory may be locked");
  }
  const auto version = text::kernel_version(host.read("/proc/sys/kernel/osrelease").value_or(""));
  const std::string text = "only " + std::to_string(limits.locked_bytes / kKib) + " KiB of memory may be locked";
  return version && *version >= text::KernelVersion{5, 12, 0}
             ? ok(text + "; nothing of wisp's counts against it since Linux 5.12")
             : warning(text + ": a few machines with Async drives use that up", "ulimit -l 65536 or LimitMEMLOCK=64M");
}

Finding check_swap(const Host& host) {
  const auto rows = text::lines(host.read("/proc/swaps").value_or(""));
  std::size_t areas = 0;
  for (const std::string& row : rows) {
    areas += row.starts_with("/") ? 1U : 0U;
  }
  return areas == 0 ? ok("nothing is swapped")
                    : warning(std::to_string(areas) + (areas == 1 ? " swap area is" : " swap areas are") +
                                  " in use: guests' memory may end up on a disk, and guests stall",
                              "swapoff -a and remove the lines from /etc/fstab, or encrypt the swap areas");
}

constexpr std::array kChecks = {
    HostCheck{"memory", check_memory},
    HostCheck{"overcommit", check_overcommit},
    HostCheck{"huge-pages", check_huge_pages},
    HostCheck{"transparent-pages", check_transparent_pages},
    HostCheck{"open-files", check_open_files},
    HostCheck{"locked-memory", check_locked_memory},
    HostCheck{"swap", check_swap},
};

}  // namespace

std::span<const HostCheck> resource_checks() {
  return kChecks;
}

}  // namespace wisp
