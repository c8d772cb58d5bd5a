#include "vmm/kvm/saved_msrs.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "vmm/kvm/system.h"
#include "vmm/kvm/table.h"

namespace wisp {
namespace {

struct MsrRange {
  std::uint32_t first;
  std::uint32_t last;
};

/// Ascending and disjoint. The names are those of the Intel SDM, volume 4, and of the AMD APM, volume 2.
constexpr std::array kSavedMsrs = {
    MsrRange{0x0, 0x1},          // P5_MC_ADDR, P5_MC_TYPE
    MsrRange{kMsrTsc, kMsrTsc},  // TSC
    MsrRange{0x17, 0x17},        // PLATFORM_ID
    MsrRange{0x2a, 0x2a},        // EBL_CR_POWERON
    MsrRange{0x2c, 0x2c},        // EBC_FREQUENCY_ID
    MsrRange{0x34, 0x34},        // SMI_COUNT
    MsrRange{0x3a, 0x3b},        // FEAT_CTL, TSC_ADJUST
    MsrRange{0x48, 0x48},        // SPEC_CTRL
    MsrRange{0x8b, 0x8b},        // UCODE_REV
    MsrRange{0x9e, 0x9e},        // SMBASE
    MsrRange{0xcd, 0xce},        // FSB_FREQ, PLATFORM_INFO
    MsrRange{0xe2, 0xe2},        // PKG_CST_CONFIG_CONTROL
    MsrRange{0xe7, 0xe8},        // MPERF, APERF
    MsrRange{0xfe, 0xfe},        // MTRRcap
    MsrRange{0x10a, 0x10a},      // ARCH_CAPABILITIES: what the guest was told at boot stays true
    MsrRange{0x11e, 0x11e},      // BBL_CR_CTL3
    MsrRange{0x122, 0x122},      // TSX_CTRL
    MsrRange{0x140, 0x140},      // MISC_FEATURES_ENABLES
    MsrRange{0x174, 0x176},      // SYSENTER_CS, _ESP, _EIP
    MsrRange{0x179, 0x17a},      // MCG_CAP, MCG_STATUS
    MsrRange{0x198, 0x198},      // PERF_STATUS
    MsrRange{0x1a0, 0x1a0},      // MISC_ENABLE
    MsrRange{0x1a4, 0x1a4},      // MISC_FEATURE_CONTROL
    MsrRange{0x1aa, 0x1aa},      // MISC_PWR_MGMT
    MsrRange{0x1ad, 0x1ae},      // TURBO_RATIO_LIMIT, TURBO_RATIO_LIMIT1
    MsrRange{0x1c4, 0x1c5},      // XFD, XFD_ERR
    MsrRange{0x1d9, 0x1d9},      // DEBUGCTL
    MsrRange{0x1db, 0x1de},      // LASTBRANCH and LASTINT, from and to
    MsrRange{0x1fc, 0x1fc},      // POWER_CTL
    MsrRange{0x200, 0x2ff},      // MTRRs and PAT
    MsrRange{0x3f8, 0x3fa},      // package C3, C6, C7 residency
    MsrRange{0x3fc, 0x3fe},      // core C3, C6, C7 residency
    MsrRange{0x400, 0x47f},      // machine check banks
    MsrRange{0x606, 0x606},      // RAPL_POWER_UNIT
    MsrRange{0x60a, 0x60d},      // PKGC3_IRTL and following, PKG_C2_RESIDENCY
    MsrRange{0x610, 0x614},      // PKG power
    MsrRange{0x618, 0x61c},      // DRAM power
    MsrRange{0x638, 0x642},      // PP0 and PP1 power
    MsrRange{0x648, 0x64c},      // CONFIG_TDP_*, TURBO_ACTIVATION_RATIO
    MsrRange{0x6a0, 0x6a0},      // U_CET
    MsrRange{0x6a2, 0x6a2},      // S_CET
    MsrRange{0x6a4, 0x6a8},      // shadow stack pointers
    MsrRange{kMsrTscDeadline, kMsrTscDeadline},
    MsrRange{0xda0, 0xda0},            // XSS
    MsrRange{0x4b564d01, 0x4b564dff},  // KVM's own, without the wall clock
    MsrRange{0xc0000081, 0xc0000084},  // STAR, LSTAR, CSTAR, SYSCALL_MASK
    MsrRange{0xc0000102, 0xc0000103},  // KERNEL_GS_BASE, TSC_AUX
    MsrRange{0xc0010015, 0xc0010015},  // HWCR
    MsrRange{0xc001011f, 0xc001011f},  // VIRT_SPEC_CTRL
};

constexpr bool ascending() {
  for (std::size_t row = 0; row < kSavedMsrs.size(); ++row) {
    if (kSavedMsrs[row].first > kSavedMsrs[row].last ||
        (row > 0 && kSavedMsrs[row - 1].last >= kSavedMsrs[row].first)) {
      return false;
    }
  }
  return true;
}
static_assert(ascending());

/// Far more than any kernel lists (about 200).
constexpr std::size_t kMaxListedMsrs = 4096;

}  // namespace

bool is_saved_msr(std::uint32_t index) {
  const auto row = std::ranges::lower_bound(kSavedMsrs, index, {}, &MsrRange::last);
  return row != kSavedMsrs.end() && index >= row->first;
}

Result<std::vector<std::uint32_t>> KvmSystem::saved_msr_indices() const {
  // The count and the indices lie next to each other, without padding.
  std::vector<std::uint32_t> list(1 + kMaxListedMsrs);
  list[0] = kMaxListedMsrs;
  if (::ioctl(fd_.raw(), kKvmGetMsrIndexList, list.data()) != 0) {
    return Error::host(errno, "Kvm error: cannot read the list of MSRs");
  }
  list.resize(std::min<std::size_t>(1 + list[0], list.size()));
  list.erase(list.begin());
  std::erase_if(list, [](std::uint32_t index) { return !is_saved_msr(index); });
  if (list.size() > kMaxSavedMsrs) {
    return Error(ErrorCode::Unsupported, "Kvm error: the host's KVM keeps more MSRs than a snapshot can hold");
  }
  return list;
}

}  // namespace wisp
