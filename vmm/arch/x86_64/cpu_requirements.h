// Would a guest run here? Compares the CPUID that a guest was given with what this host's KVM can give.
//
//   const auto missing = arch::missing_cpu_features(snapshot_vcpu.cpuid, WISP_TRY(system.supported_cpuid()));
//   if (!missing.empty()) {
//     return Error(ErrorCode::Unsupported, "... needs another CPU: " + arch::describe(missing));
//   }
//
// A guest has looked at its features when it booted and uses them without asking again, so every feature bit that it
// saw must be there after a restore. Only leaves whose bits are features are compared (the table in the .cpp); caches,
// topology, names and sizes are not. Bits that KVM emulates on any host, that change while the guest runs, or that wisp
// sets itself do not count.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace wisp::arch {

/// One register of one leaf that lacks bits.
struct CpuShortcoming {
  std::uint32_t leaf = 0;
  std::uint32_t subleaf = 0;
  const char* reg = "";  ///< "eax", "ebx", "ecx" or "edx"; kVendor below
  std::uint32_t missing_bits = 0;
};

/// The register of the shortcoming "another vendor's processor" (leaf 0, where there is no single register);
/// `missing_bits` are then the first four letters of the vendor's name that the guest needs, as CPUID has them in ebx.
inline constexpr const char* kVendor = "vendor";

/// Empty: everything that `needed` promises, `supported` (KVM_GET_SUPPORTED_CPUID) has. At most one row for the vendor
/// and one for each compared register, in ascending order of leaves.
std::vector<CpuShortcoming> missing_cpu_features(std::span<const kvm_cpuid_entry2> needed,
                                                 std::span<const kvm_cpuid_entry2> supported);

/// For people, one bit after the other: "CPUID leaf 0x7 subleaf 0x0 ebx bit 16 (avx512f), ...". Long lists are cut with
/// the number of the rest.
std::string describe(std::span<const CpuShortcoming> shortcomings);

}  // namespace wisp::arch
