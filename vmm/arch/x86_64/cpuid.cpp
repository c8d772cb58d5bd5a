#include "vmm/arch/x86_64/cpuid.h"

#include <cpuid.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/config/machine.h"

namespace wisp::arch {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

constexpr std::uint32_t kLeafVendor = 0x0;
constexpr std::uint32_t kLeafFeatures = 0x1;
constexpr std::uint32_t kLeafIntelCaches = 0x4;
constexpr std::uint32_t kLeafPower = 0x6;
constexpr std::uint32_t kLeafExtendedFeatures = 0x7;
constexpr std::uint32_t kLeafPerformance = 0xa;
constexpr std::uint32_t kLeafTopology = 0xb;
constexpr std::uint32_t kLeafTopologyV2 = 0x1f;
constexpr std::uint32_t kLeafExtendedMaximum = 0x80000000;
constexpr std::uint32_t kLeafAmdFeatures = 0x80000001;
constexpr std::uint32_t kLeafBrandFirst = 0x80000002;
constexpr std::uint32_t kBrandLeafCount = 3;
constexpr std::uint32_t kLeafL1Caches = 0x80000005;
constexpr std::uint32_t kLeafL2Caches = 0x80000006;
constexpr std::uint32_t kLeafAddressSizes = 0x80000008;
constexpr std::uint32_t kLeafAmdCaches = 0x8000001d;
constexpr std::uint32_t kLeafAmdTopology = 0x8000001e;

constexpr std::uint32_t kMaxCacheSubleaves = 16;
constexpr std::size_t kBrandBytes = 48;
/// The machine's APIC ids take this many bits, whatever the number of vCPUs.
constexpr std::uint32_t kApicIdBits = 5;
static_assert(1U << kApicIdBits == kMaxVcpuCount);

using Register = __u32 kvm_cpuid_entry2::*;
constexpr Register kEax = &kvm_cpuid_entry2::eax;
constexpr Register kEbx = &kvm_cpuid_entry2::ebx;
constexpr Register kEcx = &kvm_cpuid_entry2::ecx;
constexpr Register kEdx = &kvm_cpuid_entry2::edx;

/// One row of a rule table: bits to turn on and off in one register.
struct BitRule {
  std::uint32_t leaf;
  Register reg;
  std::uint32_t set;
  std::uint32_t clear;
};

constexpr std::uint32_t bit(unsigned index) {
  return 1U << index;
}

constexpr std::array<BitRule, 4> kCommonRules = {{
    // TSC_DEADLINE and HYPERVISOR; no PDCM (performance MSRs) and no VMX
    {kLeafFeatures, kEcx, bit(24) | bit(31), bit(15) | bit(5)},
    // no SVM: the guest is not offered nested virtualisation
    {kLeafAmdFeatures, kEcx, 0, bit(2)},
    {kLeafL2Caches, kEdx, 0, bit(16) | bit(17)},
    // flushes work in lines of 8 quadwords
    {kLeafFeatures, kEbx, 8U << 8, 0xff00U & ~(8U << 8)},
}};

constexpr std::array<BitRule, 4> kIntelRules = {{
    // no turbo, no energy bias
    {kLeafPower, kEax, 0, bit(1)},
    {kLeafPower, kEcx, 0, bit(3)},
    // FPU data pointer only on exceptions, FPU CS and DS deprecated
    {kLeafExtendedFeatures, kEbx, bit(6) | bit(13), 0},
    // no WAITPKG
    {kLeafExtendedFeatures, kEcx, 0, bit(5)},
}};

constexpr std::array<BitRule, 2> kAmdRules = {{
    // no ARCH_CAPABILITIES: an Intel register that KVM emulates
    {kLeafExtendedFeatures, kEdx, 0, bit(29)},
    // topology extensions: leaves 0x8000001d and 0x8000001e
    {kLeafAmdFeatures, kEcx, bit(22), 0},
}};

template <std::size_t N>
void apply(Entries& entries, const std::array<BitRule, N>& rules) {
  for (const BitRule& rule : rules) {
    for (kvm_cpuid_entry2& entry : entries) {
      if (entry.function == rule.leaf && entry.index == 0) {
        entry.*rule.reg = (entry.*rule.reg & ~rule.clear) | rule.set;
      }
    }
  }
}

kvm_cpuid_entry2* find(Entries& entries, std::uint32_t leaf, std::uint32_t subleaf = 0) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const kvm_cpuid_entry2& entry) {
    return entry.function == leaf && entry.index == subleaf;
  });
  return found == entries.end() ? nullptr : &*found;
}

void remove_leaf(Entries& entries, std::uint32_t leaf) {
  std::erase_if(entries, [&](const kvm_cpuid_entry2& entry) { return entry.function == leaf; });
}

/// Does the processor that the entries describe have this extended leaf?
bool has_extended_leaf(Entries& entries, std::uint32_t leaf) {
  const kvm_cpuid_entry2* maximum = find(entries, kLeafExtendedMaximum);
  return maximum != nullptr && maximum->eax >= leaf;
}

void replace_field(__u32& value, unsigned shift, unsigned width, std::uint32_t field) {
  const std::uint32_t mask = ((1U << width) - 1U) << shift;
  value = (value & ~mask) | ((field << shift) & mask);
}

enum class Indexed { No, Yes };

kvm_cpuid_entry2 make_entry(std::uint32_t leaf, std::uint32_t subleaf, Indexed indexed,
                            const kvm_cpuid_entry2& values) {
  kvm_cpuid_entry2 entry = values;
  entry.function = leaf;
  entry.index = subleaf;
  entry.flags = indexed == Indexed::Yes ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0U;
  return entry;
}

void put_host_leaf(Entries& entries, std::uint32_t leaf, HostCpuid host) {
  remove_leaf(entries, leaf);
  entries.push_back(make_entry(leaf, 0, Indexed::No, host(leaf, 0)));
}

std::string vendor_of(const kvm_cpuid_entry2& entry) {
  std::string vendor(12, '\0');
  std::memcpy(&vendor[0], &entry.ebx, 4);
  std::memcpy(&vendor[4], &entry.edx, 4);
  std::memcpy(&vendor[8], &entry.ecx, 4);
  return vendor;
}

std::string host_brand(HostCpuid host) {
  std::string brand;
  for (std::uint32_t index = 0; index < kBrandLeafCount; ++index) {
    const kvm_cpuid_entry2 entry = host(kLeafBrandFirst + index, 0);
    for (const __u32 word : {entry.eax, entry.ebx, entry.ecx, entry.edx}) {
      brand.append(reinterpret_cast<const char*>(&word), sizeof(word));
    }
  }
  return brand.substr(0, brand.find('\0'));
}

void set_brand(Entries& entries, std::string brand) {
  brand.resize(kBrandBytes, '\0');
  for (std::uint32_t index = 0; index < kBrandLeafCount; ++index) {
    std::array<__u32, 4> words{};
    std::memcpy(words.data(), brand.data() + index * sizeof(words), sizeof(words));
    kvm_cpuid_entry2 values{};
    values.eax = words[0];
    values.ebx = words[1];
    values.ecx = words[2];
    values.edx = words[3];
    remove_leaf(entries, kLeafBrandFirst + index);
    entries.push_back(make_entry(kLeafBrandFirst + index, 0, Indexed::No, values));
  }
}

/// "Intel(R) Xeon(R) Processor @ 2.90GHz": the host's model stays private, its frequency does not matter to anybody
/// else.
std::string intel_brand(const std::string& host) {
  constexpr std::string_view kBrand = "Intel(R) Xeon(R) Processor";
  constexpr std::string_view kUnit = "GHz";
  const std::size_t unit = host.find(kUnit);
  if (unit == std::string::npos) {
    return std::string(kBrand);
  }
  const std::size_t before = host.find_last_not_of("0123456789.", unit == 0 ? 0 : unit - 1);
  const std::size_t start = before == std::string::npos ? 0 : before + 1;
  if (start >= unit) {
    return std::string(kBrand);
  }
  return std::string(kBrand) + " @ " + host.substr(start, unit + kUnit.size() - start);
}

/// Leaves 0xb and 0x1f: level 0 is a core's threads, level 1 the package.
void put_topology(Entries& entries, std::uint32_t leaf, const CpuTopology& topology) {
  constexpr std::uint32_t kThreadLevel = 1;
  constexpr std::uint32_t kCoreLevel = 2;
  remove_leaf(entries, leaf);
  kvm_cpuid_entry2 threads{};
  threads.eax = topology.threads_per_core() > 1 ? 1 : 0;
  threads.ebx = topology.threads_per_core();
  threads.ecx = kThreadLevel << 8 | 0;
  entries.push_back(make_entry(leaf, 0, Indexed::Yes, threads));
  kvm_cpuid_entry2 package{};
  package.eax = kApicIdBits;
  package.ebx = topology.vcpu_count;
  package.ecx = kCoreLevel << 8 | 1;
  entries.push_back(make_entry(leaf, 1, Indexed::Yes, package));
}

/// Intel leaf 4 and AMD leaf 0x8000001d alike: how many processors share each cache. The first two levels belong to a
/// core, the others to the package.
void set_cache_sharing(Entries& entries, std::uint32_t leaf, const CpuTopology& topology) {
  for (kvm_cpuid_entry2& entry : entries) {
    const std::uint32_t cache_type = entry.eax & 0x1fU;
    if (entry.function != leaf || cache_type == 0) {
      continue;
    }
    const std::uint32_t level = (entry.eax >> 5) & 7U;
    replace_field(entry.eax, 14, 12, (level <= 2 ? topology.threads_per_core() : topology.vcpu_count) - 1);
  }
}

void normalize_common(Entries& entries, const CpuTopology& topology, HostCpuid host) {
  if (kvm_cpuid_entry2* entry = find(entries, kLeafVendor); entry != nullptr) {
    const kvm_cpuid_entry2 real = host(kLeafVendor, 0);
    entry->ebx = real.ebx;
    entry->ecx = real.ecx;
    entry->edx = real.edx;
  }
  if (kvm_cpuid_entry2* entry = find(entries, kLeafFeatures); entry != nullptr) {
    replace_field(entry->ebx, 16, 8, std::bit_ceil(std::uint32_t{topology.vcpu_count}));
    replace_field(entry->edx, 28, 1, topology.vcpu_count > 1 ? 1 : 0);
  }
  if (const kvm_cpuid_entry2* maximum = find(entries, kLeafVendor);
      maximum != nullptr && maximum->eax >= kLeafTopology) {
    put_topology(entries, kLeafTopology, topology);
  }
  for (const std::uint32_t leaf : {kLeafL1Caches, kLeafL2Caches}) {
    if (has_extended_leaf(entries, leaf)) {
      put_host_leaf(entries, leaf, host);
    }
  }
  apply(entries, kCommonRules);
}

void normalize_intel(Entries& entries, const CpuTopology& topology, HostCpuid host) {
  apply(entries, kIntelRules);
  set_cache_sharing(entries, kLeafIntelCaches, topology);
  for (kvm_cpuid_entry2& entry : entries) {
    if (entry.function == kLeafIntelCaches && (entry.eax & 0x1fU) != 0) {
      replace_field(entry.eax, 26, 6, topology.core_count() - 1);
    }
    if (entry.function == kLeafPerformance) {
      entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
    }
  }
  if (find(entries, kLeafTopologyV2) != nullptr) {
    put_topology(entries, kLeafTopologyV2, topology);
  }
  set_brand(entries, intel_brand(host_brand(host)));
}

void put_amd_host_leaves(Entries& entries, HostCpuid host) {
  remove_leaf(entries, kLeafAmdCaches);
  for (std::uint32_t subleaf = 0; subleaf < kMaxCacheSubleaves; ++subleaf) {
    const kvm_cpuid_entry2 real = host(kLeafAmdCaches, subleaf);
    entries.push_back(make_entry(kLeafAmdCaches, subleaf, Indexed::Yes, real));
    if ((real.eax & 0x1fU) == 0) {
      break;  // the end of the list, which the guest needs to see too
    }
  }
  put_host_leaf(entries, kLeafAmdTopology, host);
}

void normalize_amd(Entries& entries, const CpuTopology& topology, HostCpuid host) {
  constexpr std::uint32_t kApicIdSizeField = 7;
  if (has_extended_leaf(entries, kLeafAmdTopology)) {
    put_amd_host_leaves(entries, host);
    apply(entries, kAmdRules);
    set_cache_sharing(entries, kLeafAmdCaches, topology);
  } else if (kvm_cpuid_entry2* features = find(entries, kLeafExtendedFeatures); features != nullptr) {
    features->edx &= ~bit(29);
  }
  if (kvm_cpuid_entry2* sizes = find(entries, kLeafAddressSizes); sizes != nullptr) {
    replace_field(sizes->ecx, 0, 8, topology.vcpu_count - 1U);
    replace_field(sizes->ecx, 12, 4, kApicIdSizeField);
  }
  set_brand(entries, "AMD EPYC");
}

}  // namespace

kvm_cpuid_entry2 host_cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  kvm_cpuid_entry2 entry{};
  entry.function = leaf;
  entry.index = subleaf;
  __cpuid_count(leaf, subleaf, entry.eax, entry.ebx, entry.ecx, entry.edx);
  return entry;
}

std::string cpu_vendor(HostCpuid host) {
  return vendor_of(host(kLeafVendor, 0));
}

void normalize_cpuid(std::vector<kvm_cpuid_entry2>& entries, const CpuTopology& topology, HostCpuid host) {
  normalize_common(entries, topology, host);
  const std::string vendor = cpu_vendor(host);
  if (vendor == "GenuineIntel") {
    normalize_intel(entries, topology, host);
  } else if (vendor == "AuthenticAMD") {
    normalize_amd(entries, topology, host);
  }
}

void set_cpu_identity(std::vector<kvm_cpuid_entry2>& entries, const CpuTopology& topology, std::uint8_t vcpu_index) {
  const std::uint32_t threads = topology.threads_per_core();
  for (kvm_cpuid_entry2& entry : entries) {
    switch (entry.function) {
      case kLeafFeatures: replace_field(entry.ebx, 24, 8, vcpu_index); break;
      case kLeafTopology:
      case kLeafTopologyV2: entry.edx = vcpu_index; break;
      case kLeafAmdTopology:
        entry.eax = vcpu_index;
        replace_field(entry.ebx, 0, 8, vcpu_index / threads);
        replace_field(entry.ebx, 8, 8, threads - 1);
        replace_field(entry.ecx, 0, 11, 0);
        break;
      default: break;
    }
  }
}

}  // namespace wisp::arch
