#include "vmm/arch/x86_64/cpu_requirements.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <random>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/feature_names.h"
#include "vmm/kvm/system.h"

namespace wisp::arch {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

kvm_cpuid_entry2 leaf_with(std::uint32_t leaf, std::uint32_t subleaf, std::uint32_t flags, std::uint32_t value) {
  kvm_cpuid_entry2 entry{};
  entry.function = leaf;
  entry.index = subleaf;
  entry.flags = flags;
  entry.eax = entry.ebx = entry.ecx = entry.edx = value;
  return entry;
}

kvm_cpuid_entry2 vendor_leaf(const char (&letters)[13]) {
  kvm_cpuid_entry2 entry{};
  std::memcpy(&entry.ebx, letters, 4);
  std::memcpy(&entry.edx, letters + 4, 4);
  std::memcpy(&entry.ecx, letters + 8, 4);
  return entry;
}

/// A processor that has everything.
Entries everything() {
  constexpr std::uint32_t kIndexed = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  Entries entries = {vendor_leaf("GenuineIntel")};
  for (const std::uint32_t leaf :
       {0x1U, 0x2U, 0x6U, 0x15U, 0x40000001U, 0x80000001U, 0x80000007U, 0x80000008U, 0x80000021U}) {
    entries.push_back(leaf_with(leaf, 0, 0, ~0U));
  }
  for (const auto& [leaf, subleaf] :
       {std::pair{0x4U, 0U}, std::pair{0x7U, 0U}, std::pair{0x7U, 1U}, std::pair{0x7U, 2U}, std::pair{0xbU, 0U},
        std::pair{0xdU, 0U}, std::pair{0xdU, 1U}}) {
    entries.push_back(leaf_with(leaf, subleaf, kIndexed, ~0U));
  }
  return entries;
}

kvm_cpuid_entry2& at(Entries& entries, std::uint32_t leaf, std::uint32_t subleaf) {
  for (kvm_cpuid_entry2& entry : entries) {
    if (entry.function == leaf && entry.index == subleaf) {
      return entry;
    }
  }
  FAIL("no such leaf");
  return entries.front();
}

TEST_CASE("A guest lacks nothing on the processor that it was made for, or on a larger one") {
  CHECK(missing_cpu_features(everything(), everything()).empty());
  CHECK(missing_cpu_features({}, everything()).empty());
  CHECK(missing_cpu_features({}, {}).empty());
  Entries small = everything();
  at(small, 0x7, 0).ebx = 0x200;
  CHECK(missing_cpu_features(small, everything()).empty());
}

TEST_CASE("A missing feature is named with its leaf, register and bit") {
  Entries host = everything();
  at(host, 0x7, 0).ebx &= ~(1U << 16);
  at(host, 0xd, 0).eax &= ~(1U << 18);
  at(host, 0x7, 1).ecx &= ~(1U << 31);

  const auto missing = missing_cpu_features(everything(), host);

  REQUIRE(missing.size() == 3);
  CHECK(missing[0].leaf == 0x7);
  CHECK(missing[0].subleaf == 0);
  CHECK(std::string(missing[0].reg) == "ebx");
  CHECK(missing[0].missing_bits == 1U << 16);
  CHECK(describe(missing) ==
        "CPUID leaf 0x7 subleaf 0x0 ebx bit 16 (avx512f), CPUID leaf 0x7 subleaf 0x1 ecx bit 31, "
        "CPUID leaf 0xd subleaf 0x0 eax bit 18 (amx tile data)");
}

TEST_CASE("Another vendor's processor is a shortcoming of its own") {
  Entries host = everything();
  host[0] = vendor_leaf("AuthenticAMD");
  const auto missing = missing_cpu_features(everything(), host);
  REQUIRE(missing.size() == 1);
  CHECK(missing[0].leaf == 0);
  CHECK(describe(missing) == "CPUID leaf 0x0 vendor (GenuineIntel)");
  CHECK(describe(missing_cpu_features(host, everything())) == "CPUID leaf 0x0 vendor (AuthenticAMD)");

  Entries nobody = host;
  nobody[0] = vendor_leaf("NobodyAtHome");
  CHECK(describe(missing_cpu_features(nobody, host)) == "CPUID leaf 0x0 vendor (another one)");
}

TEST_CASE("A processor without a leaf lacks all of its features, and a long list is cut") {
  Entries host = everything();
  std::erase_if(host, [](const kvm_cpuid_entry2& entry) { return entry.function == 0x7; });
  const auto missing = missing_cpu_features(everything(), host);
  std::size_t bits = 0;
  for (const CpuShortcoming& each : missing) {
    CHECK(each.leaf == 0x7);
    bits += static_cast<std::size_t>(__builtin_popcount(each.missing_bits));
  }
  CHECK(bits == 8 * 32 - 3);  // without FDP_EXCPTN_ONLY, ZERO_FCS_FDS, OSPKE
  const std::string text = describe(missing);
  CHECK(text.find(" and 229 more") == text.size() - std::string(" and 229 more").size());
}

/// The rules once more, in the words of the brief: which bit of which register is a feature.
bool is_feature(std::uint32_t leaf, std::uint32_t subleaf, unsigned reg, unsigned bit_index) {
  const auto one_of = [&](std::initializer_list<unsigned> bits) {
    return std::find(bits.begin(), bits.end(), bit_index) != bits.end();
  };
  constexpr unsigned kEax = 0, kEbx = 1, kEcx = 2, kEdx = 3;
  switch (leaf) {
    case 0x1: return (reg == kEcx && !one_of({3, 24, 27, 31})) || (reg == kEdx && !one_of({9, 28}));
    case 0x7:
      if (subleaf == 0) {
        return (reg == kEbx && !one_of({6, 13})) || (reg == kEcx && bit_index != 4) || reg == kEdx;
      }
      return subleaf == 1 || (subleaf == 2 && reg == kEdx);
    case 0xd: return reg == kEax || reg == kEdx || (subleaf == 1 && reg == kEcx);
    case 0x40000001:
    case 0x80000021: return reg == kEax;
    case 0x80000001: return (reg == kEcx && !one_of({1, 22})) || (reg == kEdx && bit_index != 9);
    case 0x80000007: return reg == kEdx;
    case 0x80000008: return reg == kEbx;
    default: return false;
  }
}

TEST_CASE("Of random processors exactly the feature bits are reported that one needs and the other lacks") {
  std::mt19937 random(20261121);  // NOLINT: the same sequence every time
  const auto word = [&] { return static_cast<std::uint32_t>(random()); };
  constexpr std::array kNames = {"eax", "ebx", "ecx", "edx"};
  constexpr std::array kRegisters = {&kvm_cpuid_entry2::eax, &kvm_cpuid_entry2::ebx, &kvm_cpuid_entry2::ecx,
                                     &kvm_cpuid_entry2::edx};
  for (int round = 0; round < 300; ++round) {
    Entries needed = everything();
    Entries host = everything();
    std::size_t expected = 0;
    for (std::size_t row = 1; row < needed.size(); ++row) {
      for (std::size_t reg = 0; reg < kRegisters.size(); ++reg) {
        needed[row].*kRegisters[reg] = word();
        host[row].*kRegisters[reg] = word() | word();
        const std::uint32_t lost = needed[row].*kRegisters[reg] & ~(host[row].*kRegisters[reg]);
        for (unsigned index = 0; index < 32; ++index) {
          const bool counts = is_feature(needed[row].function, needed[row].index, static_cast<unsigned>(reg), index);
          expected += counts && (lost >> index & 1U) != 0 ? 1U : 0U;
        }
      }
    }
    std::shuffle(host.begin(), host.end(), random);

    std::size_t reported = 0;
    for (const CpuShortcoming& each : missing_cpu_features(needed, host)) {
      const auto name = std::find_if(kNames.begin(), kNames.end(),
                                     [&](const char* one) { return std::string_view(one) == each.reg; });
      REQUIRE(name != kNames.end());
      const auto reg = static_cast<std::size_t>(name - kNames.begin());
      const std::uint32_t lost =
          at(needed, each.leaf, each.subleaf).*kRegisters[reg] & ~(at(host, each.leaf, each.subleaf).*kRegisters[reg]);
      CHECK((each.missing_bits & ~lost) == 0);
      for (unsigned index = 0; index < 32; ++index) {
        const bool named = (each.missing_bits >> index & 1U) != 0;
        CHECK((!named || is_feature(each.leaf, each.subleaf, static_cast<unsigned>(reg), index)));
        reported += named ? 1U : 0U;
      }
    }
    CHECK(reported == expected);
  }
}

TEST_CASE("Feature names are those of the bit that was asked for") {
  CHECK(feature_name(0x1, 0, "ecx", 28) == "avx");
  CHECK(feature_name(0x80000001, 0, "edx", 29) == "lm");
  CHECK(feature_name(0x1, 0, "edx", 31).empty());
  CHECK(feature_name(0x1, 0, "", 0).empty());
}

TEST_CASE("What wisp gives a guest on this host, this host has") {
  const auto system = KvmSystem::open();
  if (!system.ok()) {
    std::printf("SKIP: %s\n", system.error().text().c_str());
    return;
  }
  const Entries supported = system.value().supported_cpuid().value();
  for (const std::uint8_t vcpu_count : {std::uint8_t{1}, std::uint8_t{4}}) {
    Entries given = supported;
    CpuTopology topology;
    topology.vcpu_count = vcpu_count;
    normalize_cpuid(given, topology, host_cpuid);
    set_cpu_identity(given, topology, 0);
    CHECK(describe(missing_cpu_features(given, supported)).empty());
  }
}

}  // namespace
}  // namespace wisp::arch
