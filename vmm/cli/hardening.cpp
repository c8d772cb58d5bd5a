#include "vmm/cli/hardening.h"

#include <fcntl.h>
#include <link.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "vmm/base/checked.h"
#include "vmm/base/fd.h"

namespace wisp {
namespace {

// Younger than the C library's headers.
constexpr int kPrSetMdwe = 65;
constexpr unsigned long kMdweRefuseExecGain = 1;
constexpr long kSysMseal = 462;
constexpr std::uint64_t kPageBytes = 4096;

/// struct landlock_ruleset_attr of ABI 6; older kernels take a shorter prefix.
struct LandlockRuleset {
  std::uint64_t files;
  std::uint64_t network;
  std::uint64_t scoped;
};
/// struct landlock_path_beneath_attr.
struct [[gnu::packed]] LandlockPath {
  std::uint64_t allowed;
  std::int32_t parent_fd;
};
constexpr unsigned kLandlockVersion = 1;
constexpr int kLandlockPathBeneath = 1;
constexpr std::uint64_t kExecute = 1U << 0;
constexpr std::uint64_t kRemoveDir = 1U << 4;
constexpr std::uint64_t kMakeChar = 1U << 6;
constexpr std::uint64_t kMakeDir = 1U << 7;
constexpr std::uint64_t kMakeFifo = 1U << 10;
constexpr std::uint64_t kMakeBlock = 1U << 11;
constexpr std::uint64_t kMakeSym = 1U << 12;
constexpr std::uint64_t kDeviceIoctl = 1U << 15;  // ABI 5
constexpr std::uint64_t kBindAndConnectTcp = 3;   // ABI 4
constexpr std::uint64_t kAbstractAndSignals = 3;  // ABI 6

/// What Landlock forbids everywhere, by the ABI that knows it.
LandlockRuleset ruleset_for(int abi) {
  return {
      kExecute | kRemoveDir | kMakeChar | kMakeDir | kMakeFifo | kMakeBlock | kMakeSym | (abi >= 5 ? kDeviceIoctl : 0),
      abi >= 4 ? kBindAndConnectTcp : 0, abi >= 6 ? kAbstractAndSignals : 0};
}
std::size_t size_for(int abi) {
  return abi >= 6 ? sizeof(LandlockRuleset) : abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
}

void allow_ioctl_on(const Fd& ruleset, const char* device) {
  const Fd node(::open(device, O_PATH | O_CLOEXEC));
  if (node.valid()) {
    const LandlockPath rule{kDeviceIoctl, node.raw()};
    (void)::syscall(SYS_landlock_add_rule, ruleset.raw(), kLandlockPathBeneath, &rule, 0);
  }
}

/// The ABI in force, or 0.
int enter_landlock() {
  const auto abi = static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, kLandlockVersion));
  if (abi <= 0) {
    return 0;
  }
  const LandlockRuleset wanted = ruleset_for(abi);
  const Fd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &wanted, size_for(abi), 0)));
  if (!ruleset.valid()) {
    return 0;
  }
  if (abi >= 5) {
    for (const char* device : {"/dev/kvm", "/dev/net/tun", "/dev/userfaultfd"}) {
      allow_ioctl_on(ruleset, device);
    }
  }
  return ::syscall(SYS_landlock_restrict_self, ruleset.raw(), 0) == 0 ? abi : 0;
}

bool seal(std::uint64_t start, std::uint64_t end) {
  return end <= start || ::syscall(kSysMseal, start, end - start, 0) == 0;
}

/// Code, constants and what was relocated once: sealed, so that no later call can change their protection or put other
/// pages in their place. `context` is a bool that becomes false when the kernel cannot.
int seal_program(dl_phdr_info* info, std::size_t /*size*/, void* context) {
  for (int index = 0; index < info->dlpi_phnum; ++index) {
    const ElfW(Phdr)& part = info->dlpi_phdr[index];
    const bool is_constant = part.p_type == PT_LOAD && (part.p_flags & PF_W) == 0;
    if (is_constant || part.p_type == PT_GNU_RELRO) {
      const std::uint64_t start = align_down(info->dlpi_addr + part.p_vaddr, kPageBytes);
      const std::uint64_t end = info->dlpi_addr + part.p_vaddr + part.p_memsz;
      // The last page of RELRO may hold ordinary data; the last one of a segment is its own.
      const std::uint64_t last =
          is_constant ? align_down(end + kPageBytes - 1, kPageBytes) : align_down(end, kPageBytes);
      *static_cast<bool*>(context) &= seal(start, last);
    }
  }
  return 1;  // the program is the first entry; a static one has no other
}

bool seal_program_memory() {
  bool is_sealed = true;
  (void)::dl_iterate_phdr(seal_program, &is_sealed);
  return is_sealed;
}

}  // namespace

HardeningReport harden_process() {
  HardeningReport report;
  // The time zone is read now: later, a vCPU's thread that logs could not open the file.
  ::tzset();
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  constexpr rlimit kNoCore{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &kNoCore);
  if (::prctl(kPrSetMdwe, kMdweRefuseExecGain, 0, 0, 0) != 0) {
    report.missing.emplace_back("PR_SET_MDWE");
  }
  if (!seal_program_memory()) {
    report.missing.emplace_back("mseal");
  }
  report.landlock_abi = enter_landlock();
  if (report.landlock_abi == 0) {
    report.missing.emplace_back("Landlock");
  }
  return report;
}

}  // namespace wisp
