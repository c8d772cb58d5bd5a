#include "vmm/cli/hardening.h"

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

namespace wisp {
namespace {

// Younger than the C library's headers.
constexpr int kPrSetMdwe = 65;
constexpr unsigned long kMdweRefuseExecGain = 1;
constexpr long kSysMseal = 462;
constexpr std::uint64_t kPageBytes = 4096;

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

Result<HardeningReport> harden_process(const PathRules& paths) {
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
  report.landlock_abi = WISP_TRY(enter_landlock(paths));
  if (report.landlock_abi == 0) {
    report.missing.emplace_back("Landlock");
  }
  return report;
}

}  // namespace wisp
