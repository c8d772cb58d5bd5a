// What CPUID tells the guest: the host's features as KVM offers them, made to describe the guest's own processors.
//
//   auto entries = kvm.supported_cpuid();
//   apply_template(entries, cpu_template);                   // cpu_template.h; what follows overrides it
//   normalize_cpuid(entries, topology, host_cpuid);          // once for the machine
//   for each vCPU: set_cpu_identity(entries, topology, i);   // then KVM_SET_CPUID2
//
// Rules that hold for every vendor come first, then those of Intel or AMD; another vendor gets the general rules only.
// Pure functions over entries: what is asked of the host comes in through `HostCpuid`.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <string>
#include <vector>

namespace wisp::arch {

enum class Smt { Off, On };

/// Adjacent vCPUs are siblings when `smt` is On.
struct CpuTopology {
  std::uint8_t vcpu_count = 1;
  Smt smt = Smt::Off;

  constexpr std::uint32_t threads_per_core() const { return smt == Smt::On && vcpu_count > 1 ? 2 : 1; }
  constexpr std::uint32_t core_count() const { return (vcpu_count + threads_per_core() - 1) / threads_per_core(); }
};

/// The CPUID instruction, or a test's idea of it. `flags` of the result is not used.
using HostCpuid = kvm_cpuid_entry2 (*)(std::uint32_t leaf, std::uint32_t subleaf);
kvm_cpuid_entry2 host_cpuid(std::uint32_t leaf, std::uint32_t subleaf);

/// "GenuineIntel", "AuthenticAMD" and so on.
std::string cpu_vendor(HostCpuid host);

void normalize_cpuid(std::vector<kvm_cpuid_entry2>& entries, const CpuTopology& topology, HostCpuid host);

/// Puts the APIC id, which is the vCPU's index, where a processor finds its own.
void set_cpu_identity(std::vector<kvm_cpuid_entry2>& entries, const CpuTopology& topology, std::uint8_t vcpu_index);

}  // namespace wisp::arch
