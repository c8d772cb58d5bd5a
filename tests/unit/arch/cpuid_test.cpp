#include "vmm/arch/x86_64/cpuid.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>

namespace wisp::arch {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

kvm_cpuid_entry2 entry(std::uint32_t leaf, std::uint32_t subleaf, std::uint32_t eax, std::uint32_t ebx = 0,
                       std::uint32_t ecx = 0, std::uint32_t edx = 0) {
  kvm_cpuid_entry2 out{};
  out.function = leaf;
  out.index = subleaf;
  out.eax = eax;
  out.ebx = ebx;
  out.ecx = ecx;
  out.edx = edx;
  return out;
}

const kvm_cpuid_entry2& at(const Entries& entries, std::uint32_t leaf, std::uint32_t subleaf = 0) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const kvm_cpuid_entry2& candidate) {
    return candidate.function == leaf && candidate.index == subleaf;
  });
  REQUIRE(found != entries.end());
  return *found;
}

std::size_t count(const Entries& entries, std::uint32_t leaf) {
  return static_cast<std::size_t>(std::count_if(
      entries.begin(), entries.end(), [&](const kvm_cpuid_entry2& candidate) { return candidate.function == leaf; }));
}

std::uint32_t word(const char* text) {
  std::uint32_t value = 0;
  std::memcpy(&value, text, sizeof(value));
  return value;
}

kvm_cpuid_entry2 vendor_entry(const char* vendor) {
  return entry(0, 0, 0x1f, word(vendor), word(vendor + 8), word(vendor + 4));
}

/// 48 bytes of brand, by leaf.
kvm_cpuid_entry2 brand_entry(std::uint32_t leaf, std::string brand) {
  brand.resize(48, '\0');
  const char* part = brand.data() + (leaf - 0x80000002) * 16;
  return entry(leaf, 0, word(part), word(part + 4), word(part + 8), word(part + 12));
}

std::string brand_of(const Entries& entries) {
  std::string brand;
  for (std::uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    for (const std::uint32_t value :
         {at(entries, leaf).eax, at(entries, leaf).ebx, at(entries, leaf).ecx, at(entries, leaf).edx}) {
      brand.append(reinterpret_cast<const char*>(&value), 4);
    }
  }
  return brand.substr(0, brand.find('\0'));
}

kvm_cpuid_entry2 intel_host(std::uint32_t leaf, std::uint32_t /*subleaf*/) {
  if (leaf == 0) {
    return vendor_entry("GenuineIntel");
  }
  if (leaf >= 0x80000002 && leaf <= 0x80000004) {
    return brand_entry(leaf, "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz");
  }
  return entry(leaf, 0, 0x11, 0x22, 0x33, 0xffffffff);
}

kvm_cpuid_entry2 plain_intel_host(std::uint32_t leaf, std::uint32_t subleaf) {
  return leaf >= 0x80000002 && leaf <= 0x80000004 ? brand_entry(leaf, "Intel(R) Xeon(R) 6787P")
                                                  : intel_host(leaf, subleaf);
}

kvm_cpuid_entry2 amd_host(std::uint32_t leaf, std::uint32_t subleaf) {
  if (leaf == 0) {
    return vendor_entry("AuthenticAMD");
  }
  if (leaf == 0x8000001d) {
    const std::uint32_t levels[] = {0x121, 0x122, 0x143, 0x3c163, 0};
    return entry(leaf, subleaf, subleaf < 5 ? levels[subleaf] : 0);
  }
  if (leaf == 0x8000001e) {
    return entry(leaf, 0, 0x55, 0x177, 0x703);
  }
  return entry(leaf, 0, 0x11, 0x22, 0x33, 0xffffffff);
}

kvm_cpuid_entry2 endless_cache_host(std::uint32_t leaf, std::uint32_t subleaf) {
  return leaf == 0x8000001d ? entry(leaf, subleaf, 0x121) : amd_host(leaf, subleaf);
}

kvm_cpuid_entry2 other_host(std::uint32_t leaf, std::uint32_t /*subleaf*/) {
  return leaf == 0 ? vendor_entry("CentaurHauls") : entry(leaf, 0, 1, 2, 3, 4);
}

/// What KVM offers: the same for all here, as only the rules are of interest.
Entries supported() {
  return {entry(0, 0, 0x1f, 1, 2, 3),
          entry(1, 0, 0x50657, 0, 1U << 15 | 1U << 5, 0),
          entry(4, 0, 0x121),
          entry(4, 1, 0x122),
          entry(4, 2, 0x143),
          entry(4, 3, 0x3c163),
          entry(4, 4, 0),
          entry(6, 0, 0x6, 0, 0x9),
          entry(7, 0, 0, 0, 1U << 5, 1U << 29),
          entry(7, 1, 0, 0, 1U << 5, 1U << 29),
          entry(0xa, 0, 1, 2, 3, 4),
          entry(0xb, 0, 9, 9, 9, 9),
          entry(0xb, 2, 9, 9, 9, 9),
          entry(0x1f, 0, 9, 9, 9, 9),
          entry(0x80000000, 0, 0x80000021),
          entry(0x80000001, 0, 0, 0, 1U << 2, 0),
          entry(0x80000002, 0, 0),
          entry(0x80000005, 0, 0),
          entry(0x80000008, 0, 0, 0, 0x40ff, 0),
          entry(0x8000001d, 0, 0),
          entry(0x8000001e, 0, 0)};
}

Entries normalized(const CpuTopology& topology, HostCpuid host, std::uint8_t vcpu_index = 0) {
  Entries entries = supported();
  normalize_cpuid(entries, topology, host);
  set_cpu_identity(entries, topology, vcpu_index);
  return entries;
}

TEST_CASE("Every vendor: leaf 1 describes this vCPU of this machine") {
  const HostCpuid host = GENERATE(&intel_host, &amd_host, &other_host);
  const Entries entries = normalized({.vcpu_count = 5, .smt = Smt::Off}, host, 3);

  const kvm_cpuid_entry2& features = at(entries, 1);
  CHECK((features.ebx >> 24) == 3);
  CHECK(((features.ebx >> 16) & 0xff) == 8);
  CHECK(((features.ebx >> 8) & 0xff) == 8);
  CHECK((features.ecx & (1U << 15)) == 0);
  CHECK((features.ecx & (1U << 5)) == 0);
  CHECK((features.ecx & (1U << 24)) != 0);
  CHECK((features.ecx & (1U << 31)) != 0);
  CHECK((features.edx & (1U << 28)) != 0);
  CHECK((at(entries, 0x80000001).ecx & (1U << 2)) == 0);
}

TEST_CASE("Every vendor: the vendor's name and the cache leaves are the host's") {
  const Entries entries = normalized({}, &other_host);
  CHECK(at(entries, 0).ebx == word("Cent"));
  CHECK(at(entries, 0).edx == word("aurH"));
  CHECK(at(entries, 0).ecx == word("auls"));
  CHECK(at(entries, 0).eax == 0x1f);
  CHECK(at(entries, 0x80000005).ebx == 2);
  CHECK(at(entries, 0x80000006).ecx == 3);
  CHECK((at(normalized({}, &intel_host), 0x80000006).edx == 0xfffcffff));
}

TEST_CASE("One vCPU has no hyper-threading bit") {
  const Entries entries = normalized({.vcpu_count = 1, .smt = Smt::On}, &intel_host);
  CHECK((at(entries, 1).edx & (1U << 28)) == 0);
  CHECK(((at(entries, 1).ebx >> 16) & 0xff) == 1);
  CHECK(at(entries, 0xb).ebx == 1);
}

TEST_CASE("The topology leaf has a thread level and a package level, and no others") {
  const Entries entries = normalized({.vcpu_count = 4, .smt = Smt::On}, &amd_host, 3);
  CHECK(count(entries, 0xb) == 2);
  const kvm_cpuid_entry2& threads = at(entries, 0xb, 0);
  CHECK(threads.eax == 1);
  CHECK(threads.ebx == 2);
  CHECK(threads.ecx == 0x100);
  CHECK(threads.edx == 3);
  CHECK(threads.flags == KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
  const kvm_cpuid_entry2& package = at(entries, 0xb, 1);
  CHECK(package.eax == 5);
  CHECK(package.ebx == 4);
  CHECK(package.ecx == 0x201);
  CHECK(package.edx == 3);
}

TEST_CASE("A processor without the topology leaf does not get one") {
  Entries entries = {entry(0, 0, 0x7), entry(1, 0, 0)};
  normalize_cpuid(entries, {.vcpu_count = 2, .smt = Smt::Off}, &other_host);
  CHECK(count(entries, 0xb) == 0);
  CHECK(count(entries, 0x80000005) == 0);
}

TEST_CASE("An empty list of entries survives") {
  Entries entries;
  normalize_cpuid(entries, {}, &amd_host);
  set_cpu_identity(entries, {}, 0);
  CHECK(count(entries, 1) == 0);
}

TEST_CASE("Intel: caches, power, performance and topology leaves follow the machine") {
  const Entries entries = normalized({.vcpu_count = 4, .smt = Smt::On}, &intel_host, 2);
  CHECK(((at(entries, 4, 0).eax >> 14) & 0xfff) == 1);
  CHECK(((at(entries, 4, 2).eax >> 14) & 0xfff) == 1);
  CHECK(((at(entries, 4, 3).eax >> 14) & 0xfff) == 3);
  CHECK((at(entries, 4, 3).eax >> 26) == 1);
  CHECK(at(entries, 4, 4).eax == 0);
  CHECK(at(entries, 6).eax == 0x4);
  CHECK(at(entries, 6).ecx == 0x1);
  CHECK(at(entries, 7).ebx == ((1U << 6) | (1U << 13)));
  CHECK(at(entries, 7).ecx == 0);
  CHECK(at(entries, 7, 1).ecx == 1U << 5);
  CHECK(at(entries, 7).edx == 1U << 29);
  CHECK(at(entries, 0xa).eax == 0);
  CHECK(at(entries, 0xa).edx == 0);
  CHECK(count(entries, 0x1f) == 2);
  CHECK(at(entries, 0x1f, 1).ebx == 4);
  CHECK(at(entries, 0x1f, 1).edx == 2);
}

TEST_CASE("Intel: the brand keeps nothing of the host's model but its frequency") {
  CHECK(brand_of(normalized({}, &intel_host)) == "Intel(R) Xeon(R) Processor @ 2.90GHz");
  CHECK(brand_of(normalized({}, &plain_intel_host)) == "Intel(R) Xeon(R) Processor");
}

TEST_CASE("AMD: caches, sizes and topology leaves follow the machine") {
  const Entries entries = normalized({.vcpu_count = 4, .smt = Smt::On}, &amd_host, 3);
  CHECK((at(entries, 7).edx & (1U << 29)) == 0);
  CHECK((at(entries, 7).ebx & (1U << 6)) == 0);
  CHECK((at(entries, 0x80000001).ecx & (1U << 22)) != 0);
  CHECK((at(entries, 0x80000008).ecx & 0xff) == 3);
  CHECK(((at(entries, 0x80000008).ecx >> 12) & 0xf) == 7);
  CHECK(count(entries, 0x8000001d) == 5);
  CHECK(((at(entries, 0x8000001d, 1).eax >> 14) & 0xfff) == 1);
  CHECK(((at(entries, 0x8000001d, 3).eax >> 14) & 0xfff) == 3);
  CHECK(at(entries, 0x8000001d, 4).eax == 0);
  CHECK(count(entries, 0x8000001e) == 1);
  CHECK(at(entries, 0x8000001e).eax == 3);
  CHECK((at(entries, 0x8000001e).ebx & 0xff) == 1);
  CHECK(((at(entries, 0x8000001e).ebx >> 8) & 0xff) == 1);
  CHECK((at(entries, 0x8000001e).ecx & 0x7ff) == 0);
  CHECK(brand_of(entries) == "AMD EPYC");
}

TEST_CASE("AMD: a list of caches that does not end is cut") {
  CHECK(count(normalized({}, &endless_cache_host), 0x8000001d) == 16);
}

TEST_CASE("Another vendor keeps the leaves that only Intel or AMD rules touch") {
  const Entries entries = normalized({.vcpu_count = 2, .smt = Smt::Off}, &other_host, 1);
  CHECK(at(entries, 6).eax == 0x6);
  CHECK(at(entries, 0xa).eax == 1);
  CHECK((at(entries, 7).edx & (1U << 29)) != 0);
  CHECK(at(entries, 4, 3).eax == 0x3c163);
}

TEST_CASE("The largest machine fits every field") {
  const Entries entries = normalized({.vcpu_count = 32, .smt = Smt::Off}, &intel_host, 31);
  CHECK((at(entries, 1).ebx >> 16) == (31U << 8 | 32U));
  CHECK((at(entries, 4, 3).eax >> 26) == 31);
  CHECK(((at(entries, 4, 3).eax >> 14) & 0xfff) == 31);
  CHECK(at(entries, 0xb, 1).ebx == 32);
}

std::uint32_t shared_by(const kvm_cpuid_entry2& cache) {
  return ((cache.eax >> 14) & 0xfff) + 1;
}

// Every machine: what the leaves say together must be one topology.
void check_common_topology(const Entries& entries, std::uint8_t vcpus, std::uint32_t threads, std::uint32_t index) {
  const std::uint32_t max_ids = (at(entries, 1).ebx >> 16) & 0xff;
  CHECK(max_ids >= vcpus);
  CHECK(max_ids < 2U * vcpus);
  CHECK((max_ids & (max_ids - 1)) == 0);
  CHECK((at(entries, 1).ebx >> 24) == index);
  CHECK(((at(entries, 1).edx >> 28) & 1) == (vcpus > 1 ? 1 : 0));
  CHECK(at(entries, 0xb, 0).eax == (threads == 2 ? 1 : 0));
  CHECK(at(entries, 0xb, 0).ebx == threads);
  CHECK(at(entries, 0xb, 0).ecx == 0x100);
  CHECK(at(entries, 0xb, 0).edx == index);
  CHECK(at(entries, 0xb, 1).eax == 5);
  CHECK(at(entries, 0xb, 1).ebx == vcpus);
  CHECK(at(entries, 0xb, 1).ecx == 0x201);
  CHECK(at(entries, 0xb, 1).edx == index);
}

TEST_CASE("Intel: 1 to 32 vCPUs with and without SMT give one consistent topology on every vCPU") {
  const int vcpu_count = GENERATE(range(1, 33));
  const Smt smt = GENERATE(Smt::Off, Smt::On);
  const auto vcpus = static_cast<std::uint8_t>(vcpu_count);
  CAPTURE(vcpu_count, smt == Smt::On);
  const std::uint32_t threads = smt == Smt::On && vcpus > 1 ? 2 : 1;
  for (std::uint8_t index = 0; index < vcpus; ++index) {
    const Entries entries = normalized({.vcpu_count = vcpus, .smt = smt}, &intel_host, index);
    check_common_topology(entries, vcpus, threads, index);
    for (std::uint32_t level = 0; level < 2; ++level) {
      const kvm_cpuid_entry2& first = at(entries, 0xb, level);
      const kvm_cpuid_entry2& second = at(entries, 0x1f, level);
      CHECK(std::memcmp(&first.eax, &second.eax, 4 * sizeof(first.eax)) == 0);
    }
    for (std::uint32_t subleaf = 0; subleaf < 4; ++subleaf) {
      const kvm_cpuid_entry2& cache = at(entries, 4, subleaf);
      CHECK(shared_by(cache) == (subleaf < 3 ? threads : vcpus));
      CHECK((cache.eax >> 26) + 1 == (vcpus + threads - 1) / threads);
    }
  }
}

TEST_CASE("AMD: 1 to 32 vCPUs with and without SMT give one consistent topology on every vCPU") {
  const int vcpu_count = GENERATE(range(1, 33));
  const Smt smt = GENERATE(Smt::Off, Smt::On);
  const auto vcpus = static_cast<std::uint8_t>(vcpu_count);
  CAPTURE(vcpu_count, smt == Smt::On);
  const std::uint32_t threads = smt == Smt::On && vcpus > 1 ? 2 : 1;
  for (std::uint8_t index = 0; index < vcpus; ++index) {
    const Entries entries = normalized({.vcpu_count = vcpus, .smt = smt}, &amd_host, index);
    check_common_topology(entries, vcpus, threads, index);
    CHECK((at(entries, 0x80000008).ecx & 0xff) + 1 == vcpus);
    for (std::uint32_t subleaf = 0; subleaf < 4; ++subleaf) {
      CHECK(shared_by(at(entries, 0x8000001d, subleaf)) == (subleaf < 3 ? threads : vcpus));
    }
    CHECK(at(entries, 0x8000001e).eax == index);
    CHECK((at(entries, 0x8000001e).ebx & 0xffff) == ((threads - 1) << 8 | index / threads));
    CHECK((at(entries, 0x8000001e).ecx & 0x7ff) == 0);
  }
}

TEST_CASE("Leaf 0x1f is there only where KVM offers it") {
  Entries entries = supported();
  entries.erase(std::remove_if(entries.begin(), entries.end(), [](const auto& each) { return each.function == 0x1f; }),
                entries.end());
  normalize_cpuid(entries, {.vcpu_count = 2, .smt = Smt::On}, &intel_host);
  CHECK(count(entries, 0x1f) == 0);
}

TEST_CASE("A second normalisation changes nothing") {
  const HostCpuid host = GENERATE(&intel_host, &amd_host, &other_host);
  const CpuTopology topology{.vcpu_count = 6, .smt = Smt::On};
  const Entries once = normalized(topology, host, 5);
  Entries twice = once;
  normalize_cpuid(twice, topology, host);
  set_cpu_identity(twice, topology, 5);
  REQUIRE(twice.size() == once.size());
  for (const kvm_cpuid_entry2& each : once) {
    const kvm_cpuid_entry2& again = at(twice, each.function, each.index);
    CHECK(std::memcmp(&again, &each, sizeof(each)) == 0);
  }
}

TEST_CASE("The host's own CPUID can be asked") {
  const kvm_cpuid_entry2 vendor = host_cpuid(0, 0);
  CHECK(vendor.eax >= 1);
  CHECK(vendor.ebx != 0);
}

}  // namespace
}  // namespace wisp::arch
