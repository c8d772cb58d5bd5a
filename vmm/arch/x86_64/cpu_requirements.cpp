#include "vmm/arch/x86_64/cpu_requirements.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <string_view>

#include "vmm/arch/x86_64/feature_names.h"

namespace wisp::arch {
namespace {

constexpr std::uint32_t bit(unsigned index) {
  return 1U << index;
}

using Register = __u32 kvm_cpuid_entry2::*;
constexpr Register kEax = &kvm_cpuid_entry2::eax;
constexpr Register kEbx = &kvm_cpuid_entry2::ebx;
constexpr Register kEcx = &kvm_cpuid_entry2::ecx;
constexpr Register kEdx = &kvm_cpuid_entry2::edx;

/// A register all of whose bits are features, but for the ignored ones.
struct FeatureWord {
  std::uint32_t leaf;
  std::uint32_t subleaf;
  Register reg;
  const char* name;
  std::uint32_t ignored;
};

constexpr std::array kFeatureWords = {
    // MONITOR follows MISC_ENABLE, OSXSAVE follows CR4; TSC_DEADLINE and HYPERVISOR: wisp
    FeatureWord{0x1, 0, kEcx, "ecx", bit(3) | bit(24) | bit(27) | bit(31)},
    // APIC follows APICBASE, HTT is topology
    FeatureWord{0x1, 0, kEdx, "edx", bit(9) | bit(28)},
    // FDP_EXCPTN_ONLY and ZERO_FCS_FDS tell what is missing, and wisp sets them
    FeatureWord{0x7, 0, kEbx, "ebx", bit(6) | bit(13)},
    // OSPKE follows CR4
    FeatureWord{0x7, 0, kEcx, "ecx", bit(4)},
    FeatureWord{0x7, 0, kEdx, "edx", 0},
    FeatureWord{0x7, 1, kEax, "eax", 0},
    FeatureWord{0x7, 1, kEbx, "ebx", 0},
    FeatureWord{0x7, 1, kEcx, "ecx", 0},
    FeatureWord{0x7, 1, kEdx, "edx", 0},
    FeatureWord{0x7, 2, kEdx, "edx", 0},
    // what XCR0 can hold
    FeatureWord{0xd, 0, kEax, "eax", 0},
    FeatureWord{0xd, 0, kEdx, "edx", 0},
    FeatureWord{0xd, 1, kEax, "eax", 0},
    // what XSS can hold
    FeatureWord{0xd, 1, kEcx, "ecx", 0},
    FeatureWord{0xd, 1, kEdx, "edx", 0},
    FeatureWord{0x40000001, 0, kEax, "eax", 0},
    // CMP_LEGACY is topology, TOPOEXT: wisp; OSVW and the like are features
    FeatureWord{0x80000001, 0, kEcx, "ecx", bit(1) | bit(22)},
    // APIC again
    FeatureWord{0x80000001, 0, kEdx, "edx", bit(9)},
    FeatureWord{0x80000007, 0, kEdx, "edx", 0},
    FeatureWord{0x80000008, 0, kEbx, "ebx", 0},
    FeatureWord{0x80000021, 0, kEax, "eax", 0},
};

constexpr std::size_t kMaxNamedBits = 24;

const kvm_cpuid_entry2* find(std::span<const kvm_cpuid_entry2> entries, std::uint32_t leaf, std::uint32_t subleaf) {
  const auto found = std::ranges::find_if(entries, [&](const kvm_cpuid_entry2& entry) {
    const bool indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
    return entry.function == leaf && (indexed ? entry.index : 0) == subleaf;
  });
  return found == entries.end() ? nullptr : &*found;
}

std::uint32_t value_of(std::span<const kvm_cpuid_entry2> entries, const FeatureWord& word) {
  const kvm_cpuid_entry2* entry = find(entries, word.leaf, word.subleaf);
  return entry == nullptr ? 0 : entry->*word.reg;
}

bool same_vendor(std::span<const kvm_cpuid_entry2> needed, std::span<const kvm_cpuid_entry2> supported) {
  const kvm_cpuid_entry2* ours = find(needed, 0, 0);
  const kvm_cpuid_entry2* theirs = find(supported, 0, 0);
  if (ours == nullptr) {
    return true;  // a guest without leaf 0 was promised no vendor
  }
  return theirs != nullptr && ours->ebx == theirs->ebx && ours->ecx == theirs->ecx && ours->edx == theirs->edx;
}

std::string describe_vendor(std::uint32_t first_letters) {
  constexpr std::array<std::string_view, 3> kVendors = {"GenuineIntel", "AuthenticAMD", "HygonGenuine"};
  for (const std::string_view vendor : kVendors) {
    std::uint32_t letters = 0;
    for (std::size_t index = 4; index-- > 0;) {
      letters = letters << 8U | static_cast<unsigned char>(vendor[index]);
    }
    if (letters == first_letters) {
      return "CPUID leaf 0x0 vendor (" + std::string(vendor) + ")";
    }
  }
  return "CPUID leaf 0x0 vendor (another one)";
}

std::string describe_bit(const CpuShortcoming& shortcoming, unsigned index) {
  char place[96];
  std::snprintf(place, sizeof(place), "CPUID leaf 0x%x subleaf 0x%x %.8s bit %u", shortcoming.leaf, shortcoming.subleaf,
                shortcoming.reg, index);
  const std::string_view name = feature_name(shortcoming.leaf, shortcoming.subleaf, shortcoming.reg, index);
  return name.empty() ? std::string(place) : std::string(place) + " (" + std::string(name) + ")";
}

/// Everything that is missing, one text each.
std::vector<std::string> texts_of(std::span<const CpuShortcoming> shortcomings) {
  std::vector<std::string> texts;
  for (const CpuShortcoming& each : shortcomings) {
    if (std::string_view(each.reg) == kVendor) {
      texts.push_back(describe_vendor(each.missing_bits));
      continue;
    }
    for (unsigned index = 0; index < 32; ++index) {
      if ((each.missing_bits & bit(index)) != 0) {
        texts.push_back(describe_bit(each, index));
      }
    }
  }
  return texts;
}

}  // namespace

std::vector<CpuShortcoming> missing_cpu_features(std::span<const kvm_cpuid_entry2> needed,
                                                 std::span<const kvm_cpuid_entry2> supported) {
  std::vector<CpuShortcoming> shortcomings;
  if (!same_vendor(needed, supported)) {
    shortcomings.push_back({0, 0, kVendor, find(needed, 0, 0)->ebx});
  }
  for (const FeatureWord& word : kFeatureWords) {
    const std::uint32_t missing = value_of(needed, word) & ~value_of(supported, word) & ~word.ignored;
    if (missing != 0) {
      shortcomings.push_back({word.leaf, word.subleaf, word.name, missing});
    }
  }
  return shortcomings;
}

std::string describe(std::span<const CpuShortcoming> shortcomings) {
  const std::vector<std::string> texts = texts_of(shortcomings);
  std::string description;
  for (std::size_t index = 0; index < std::min(texts.size(), kMaxNamedBits); ++index) {
    description += (index == 0 ? "" : ", ") + texts[index];
  }
  if (texts.size() > kMaxNamedBits) {
    description += " and " + std::to_string(texts.size() - kMaxNamedBits) + " more";
  }
  return description;
}

}  // namespace wisp::arch
