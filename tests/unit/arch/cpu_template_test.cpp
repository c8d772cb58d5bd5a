#include "vmm/arch/x86_64/cpu_template.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <tuple>

#include "vmm/arch/x86_64/static_templates.h"

namespace wisp::arch {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

std::uint32_t word(const char* text) {
  std::uint32_t value = 0;
  std::memcpy(&value, text, sizeof(value));
  return value;
}

kvm_cpuid_entry2 host_of(const char* vendor, std::uint32_t signature, std::uint32_t leaf) {
  kvm_cpuid_entry2 entry{};
  if (leaf == 0) {
    entry.ebx = word(vendor);
    entry.edx = word(vendor + 4);
    entry.ecx = word(vendor + 8);
  } else {
    entry.eax = signature;
  }
  return entry;
}
template <std::uint32_t kSignature>
kvm_cpuid_entry2 intel(std::uint32_t leaf, std::uint32_t /*subleaf*/) {
  return host_of("GenuineIntel", kSignature, leaf);
}
template <std::uint32_t kSignature>
kvm_cpuid_entry2 amd(std::uint32_t leaf, std::uint32_t /*subleaf*/) {
  return host_of("AuthenticAMD", kSignature, leaf);
}
constexpr HostCpuid kSkylake = &intel<0x50654>;
constexpr HostCpuid kCascadeLake = &intel<0x50657>;
constexpr HostCpuid kIceLake = &intel<0x606a6>;
constexpr HostCpuid kMilan = &amd<0xa00f11>;

kvm_cpuid_entry2 entry(std::uint32_t leaf, std::uint32_t subleaf, std::uint32_t flags, std::uint32_t value) {
  kvm_cpuid_entry2 out{};
  out.function = leaf;
  out.index = subleaf;
  out.flags = flags;
  out.eax = out.ebx = out.ecx = out.edx = value;
  return out;
}

/// Every entry that a static template names, all bits equal.
Entries supported(std::uint32_t value) {
  return {entry(0x1, 0, 0, value),   entry(0x7, 0, 1, value),        entry(0xd, 0, 1, value),
          entry(0xd, 1, 1, value),   entry(0x80000001, 0, 0, value), entry(0x80000008, 0, 0, value),
          entry(0xd, 2, 1, 0x77777), entry(0x2, 0, 0, 0x77777)};
}

kvm_msr_entry msr(std::uint32_t index, std::uint64_t data) {
  kvm_msr_entry out{};
  out.index = index;
  out.data = data;
  return out;
}

CpuidLeafModifier leaf_modifier(std::uint32_t leaf, std::uint32_t subleaf, std::uint32_t flags,
                                std::vector<CpuidRegisterModifier> registers) {
  return {.leaf = leaf, .subleaf = subleaf, .flags = flags, .registers = std::move(registers)};
}
CustomCpuTemplate cpuid_template(CpuidLeafModifier modifier) {
  CustomCpuTemplate out;
  out.cpuid.push_back(std::move(modifier));
  return out;
}

std::string refusal_of(CpuTemplate name, HostCpuid host) {
  const auto loaded = load_static_template(name, host);
  return loaded.ok() ? "accepted" : loaded.error().text();
}

const std::string kWrongVendor =
    "Failed to get CPU template: CPU vendor mismatched between actual CPU and CPU template.";
const std::string kWrongModel =
    "Failed to get CPU template: The current CPU model is not permitted to apply the CPU template.";

TEST_CASE("A static template is given to the processors that it is for, and to no others") {
  const auto [name, host, answer] = GENERATE(table<CpuTemplate, HostCpuid, std::string>({
      {CpuTemplate::C3, kSkylake, "accepted"},
      {CpuTemplate::C3, kCascadeLake, "accepted"},
      {CpuTemplate::C3, kIceLake, "accepted"},
      {CpuTemplate::C3, kMilan, kWrongVendor},
      {CpuTemplate::T2, kSkylake, "accepted"},
      {CpuTemplate::T2, kCascadeLake, "accepted"},
      {CpuTemplate::T2, kIceLake, "accepted"},
      {CpuTemplate::T2, kMilan, kWrongVendor},
      {CpuTemplate::T2S, kSkylake, "accepted"},
      {CpuTemplate::T2S, kCascadeLake, "accepted"},
      {CpuTemplate::T2S, kIceLake, kWrongModel},
      {CpuTemplate::T2CL, kSkylake, kWrongModel},
      {CpuTemplate::T2CL, kCascadeLake, "accepted"},
      {CpuTemplate::T2CL, kIceLake, "accepted"},
      {CpuTemplate::T2A, kMilan, "accepted"},
      {CpuTemplate::T2A, kSkylake, kWrongVendor},
      {CpuTemplate::T2A, &amd<0xa00f12>, kWrongModel},
      {CpuTemplate::T2, &intel<0x50655>, kWrongModel},
      {CpuTemplate::T2, &intel<0x806f8>, kWrongModel},
      {CpuTemplate::T2, &intel<0xf0050654>, "accepted"},  // reserved bits say nothing
  }));
  CHECK(refusal_of(name, host) == answer);
}

/// What a template makes of a register that is all zeros and of one that is all ones: together they tell every bit.
struct Effect {
  std::uint32_t of_zeros;
  std::uint32_t of_ones;
  bool operator==(const Effect&) const = default;
};

std::uint32_t register_value(const Entries& entries, std::uint32_t leaf, std::uint32_t subleaf, CpuidRegister reg) {
  for (const kvm_cpuid_entry2& each : entries) {
    if (each.function == leaf && each.index == subleaf) {
      const std::uint32_t values[] = {each.eax, each.ebx, each.ecx, each.edx};
      return values[static_cast<std::size_t>(reg)];
    }
  }
  FAIL("no such entry");
  return 0;
}

Effect effect(CpuTemplate name, HostCpuid host, std::uint32_t leaf, std::uint32_t subleaf, CpuidRegister reg) {
  const CustomCpuTemplate chosen = load_static_template(name, host).value();
  Entries zeros = supported(0);
  Entries ones = supported(0xffffffff);
  REQUIRE(apply_template(zeros, chosen).ok());
  REQUIRE(apply_template(ones, chosen).ok());
  return {register_value(zeros, leaf, subleaf, reg), register_value(ones, leaf, subleaf, reg)};
}

constexpr CpuidRegister kEax = CpuidRegister::Eax;
constexpr CpuidRegister kEbx = CpuidRegister::Ebx;
constexpr CpuidRegister kEcx = CpuidRegister::Ecx;
constexpr CpuidRegister kEdx = CpuidRegister::Edx;
constexpr Effect kUntouched{0, 0xffffffff};

using Row = std::tuple<std::uint32_t, std::uint32_t, CpuidRegister, Effect>;

// Numbers in place of the table's bitmaps, so that a mistake in a bitmap does not repeat itself here.
void check_rows(CpuTemplate name, HostCpuid host, const std::vector<Row>& rows) {
  for (const auto& [leaf, subleaf, reg, expected] : rows) {
    CAPTURE(leaf, subleaf, static_cast<int>(reg));
    const Effect found = effect(name, host, leaf, subleaf, reg);
    CHECK(found.of_zeros == expected.of_zeros);
    CHECK(found.of_ones == expected.of_ones);
  }
}

/// What T2, T2S, T2CL and T2A have in common.
const std::vector<Row> kT2Family = {
    {0x1, 0, kEax, {0x306f2, 0xf003c6f2}},
    {0x1, 0, kEbx, kUntouched},
    {0x1, 0, kEcx, {0, 0xfffb3203}},
    {0x1, 0, kEdx, {0x1080, 0x179bffff}},
    {0x7, 0, kEax, kUntouched},
    {0x7, 0, kEbx, {0x200, 0x1027eb}},
    {0x7, 0, kEcx, {0, 0xbfbea0a1}},
    {0x7, 0, kEdx, {0, 0xfffffee3}},
    {0xd, 0, kEax, {0, 0xfffffd07}},
    {0xd, 0, kEbx, kUntouched},
    {0xd, 1, kEax, {0, 0xfffffff1}},
    {0xd, 1, kEcx, kUntouched},
    {0x80000001, 0, kEax, kUntouched},
    {0x80000001, 0, kEbx, kUntouched},
    {0x80000008, 0, kEax, kUntouched},
    {0x80000008, 0, kEcx, kUntouched},
};

TEST_CASE("T2, T2S, T2CL and T2A make the same of what they have in common") {
  const auto [name, host] = GENERATE(table<CpuTemplate, HostCpuid>({{CpuTemplate::T2, kIceLake},
                                                                    {CpuTemplate::T2S, kSkylake},
                                                                    {CpuTemplate::T2CL, kCascadeLake},
                                                                    {CpuTemplate::T2A, kMilan}}));
  check_rows(name, host, kT2Family);
}

TEST_CASE("T2 and T2S take the same extended features away") {
  const auto [name, host] =
      GENERATE(table<CpuTemplate, HostCpuid>({{CpuTemplate::T2, kIceLake}, {CpuTemplate::T2S, kSkylake}}));
  check_rows(name, host,
             {{0x80000001, 0, kEcx, {0, 0xdffffeff}},
              {0x80000001, 0, kEdx, {0, 0xfbffffff}},
              {0x80000008, 0, kEbx, {0, 0xfffffdff}}});
}

TEST_CASE("T2CL takes extended features away that AMD lacks too") {
  check_rows(CpuTemplate::T2CL, kIceLake,
             {{0x80000001, 0, kEcx, {0, 0xdffffe3f}},
              {0x80000001, 0, kEdx, {0, 0xf83fffff}},
              {0x80000008, 0, kEbx, {0, 0xfffffdff}}});
}

TEST_CASE("T2A takes extended features away that Intel lacks") {
  check_rows(CpuTemplate::T2A, kMilan,
             {{0x80000001, 0, kEcx, {0, 0xdffffe3b}},
              {0x80000001, 0, kEdx, {0, 0xf9bfffff}},
              {0x80000008, 0, kEbx, {0x1c0004, 0xfffffdfe}}});
}

TEST_CASE("C3 changes every register of its table, and no other") {
  check_rows(CpuTemplate::C3, kSkylake,
             {{0x1, 0, kEax, {0x306e4, 0xf003c6e4}},
              {0x1, 0, kEbx, kUntouched},
              {0x1, 0, kEcx, {0, 0xffbf22c3}},
              {0x1, 0, kEdx, {0x1080, 0x579bffff}},
              {0x7, 0, kEbx, {0, 0x5022c3}},
              {0x7, 0, kEcx, {0, 0xbfbeb7e1}},
              {0x7, 0, kEdx, {0, 0xfffffff3}},
              {0xd, 0, kEax, {0, 0xfffffd07}},
              {0xd, 1, kEax, {0, 0xfffffff1}},
              {0x80000001, 0, kEcx, {0, 0xfffffedf}},
              {0x80000001, 0, kEdx, {0, 0xfbffffff}},
              {0x80000008, 0, kEbx, kUntouched}});
}

TEST_CASE("Static templates leave other entries and other subleaves alone") {
  const CpuTemplate name = GENERATE(CpuTemplate::C3, CpuTemplate::T2, CpuTemplate::T2S);
  Entries entries = supported(0xffffffff);
  REQUIRE(apply_template(entries, load_static_template(name, kCascadeLake).value()).ok());
  CHECK(entries.size() == 8);
  CHECK(register_value(entries, 0xd, 2, kEax) == 0x77777);
  CHECK(register_value(entries, 0x2, 0, kEdx) == 0x77777);
}

TEST_CASE("T2S fixes IA32_ARCH_CAPABILITIES, T2CL masks it, the others do not touch it") {
  const auto changed = [](CpuTemplate name, HostCpuid host, std::uint64_t value) {
    const CustomCpuTemplate chosen = load_static_template(name, host).value();
    const std::vector<kvm_msr_entry> values = {msr(0x10a, value)};
    REQUIRE(template_msr_indices(chosen) == std::vector<std::uint32_t>{0x10a});
    const auto set = template_msrs(chosen, values).value();
    REQUIRE(set.size() == 1);
    CHECK(set[0].index == 0x10a);
    return set[0].data;
  };
  constexpr std::uint64_t kOnes = ~std::uint64_t{0};
  CHECK(changed(CpuTemplate::T2S, kSkylake, 0) == 0x0c0a0c4c);
  CHECK(changed(CpuTemplate::T2S, kSkylake, kOnes) == 0x0c0a0c4c);
  CHECK(changed(CpuTemplate::T2CL, kIceLake, 0) == 0);
  CHECK(changed(CpuTemplate::T2CL, kIceLake, kOnes) == 0x1d0ae1ff);
  CHECK(template_msr_indices(load_static_template(CpuTemplate::T2, kIceLake).value()).empty());
  CHECK(template_msr_indices(load_static_template(CpuTemplate::T2A, kMilan).value()).empty());
  CHECK(template_msr_indices(load_static_template(CpuTemplate::C3, kIceLake).value()).empty());
}

TEST_CASE("The custom template goes before the static one, and without either nothing changes") {
  CustomCpuTemplate custom;
  custom.msrs.push_back({.address = 0x10, .bits = {}});
  CHECK(resolve_template(custom, CpuTemplate::T2, kMilan).value().msrs.size() == 1);
  CHECK(resolve_template(std::nullopt, CpuTemplate::T2, kIceLake).value().cpuid.size() == 6);
  CHECK_FALSE(resolve_template(std::nullopt, CpuTemplate::T2, kMilan).ok());
  CHECK(resolve_template(std::nullopt, CpuTemplate::None, kMilan).value().cpuid.empty());
  CHECK(resolve_template(std::nullopt, std::nullopt, kMilan).value().cpuid.empty());
}

TEST_CASE("A register that is named twice gets both changes, in their order") {
  Entries entries = supported(0);
  const CustomCpuTemplate twice = cpuid_template(
      leaf_modifier(0x1, 0, 0, {{kEax, {.mask = 0xff, .value = 0xf0}}, {kEax, {.mask = 0x0f0, .value = 0x10}}}));
  REQUIRE(apply_template(entries, twice).ok());
  CHECK(register_value(entries, 0x1, 0, kEax) == 0x10);
}

TEST_CASE("A CPUID entry that KVM does not offer is refused by leaf and subleaf, even when nothing of it changes") {
  const auto [leaf, subleaf, text] = GENERATE(table<std::uint32_t, std::uint32_t, std::string>({
      {0x21, 0, "Leaf: 0x21, Subleaf: 0x0."},
      {0xd, 0x12, "Leaf: 0xd, Subleaf: 0x12."},
      {0x80000021, 0, "Leaf: 0x80000021, Subleaf: 0x0."},
  }));
  Entries entries = supported(0);
  const Status refused = apply_template(entries, cpuid_template(leaf_modifier(leaf, subleaf, 0, {})));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text() ==
        "Failed to create guest config: Template changes a CPUID entry not supported by KVM: " + text);
}

TEST_CASE("Flags other than KVM's are refused") {
  Entries entries = supported(0);
  const Status refused = apply_template(entries, cpuid_template(leaf_modifier(0x7, 0, 0, {})));
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(),
             Catch::Matchers::Contains("Leaf: 0x7, Subleaf: 0x0. KVM has 1, the template says 0"));
}

TEST_CASE("An MSR that KVM could not read is refused by its number") {
  CustomCpuTemplate chosen;
  chosen.msrs.push_back({.address = 0x10a, .bits = {.mask = 1, .value = 1}});
  chosen.msrs.push_back({.address = 0xdeadbeef, .bits = {.mask = 1, .value = 1}});
  const std::vector<kvm_msr_entry> readable = {msr(0x10a, 0)};
  const auto refused = template_msrs(chosen, readable);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text() ==
        "Failed to create guest config: Template changes an MSR entry not supported by KVM: "
        "Register Address: 0xdeadbeef.");
}

TEST_CASE("An MSR that is named twice is read once and gets both changes") {
  CustomCpuTemplate chosen;
  chosen.msrs.push_back({.address = 0x10a, .bits = {.mask = 0xf, .value = 0x5}});
  chosen.msrs.push_back({.address = 0x10, .bits = {}});
  chosen.msrs.push_back({.address = 0x10a, .bits = {.mask = 0xf0, .value = 0x30}});
  CHECK(template_msr_indices(chosen) == std::vector<std::uint32_t>{0x10a, 0x10});
  const std::vector<kvm_msr_entry> host = {msr(0x10a, 0xfff), msr(0x10, 7)};
  const auto set = template_msrs(chosen, host).value();
  REQUIRE(set.size() == 2);
  CHECK(set[0].data == 0xf35);
  CHECK(set[1].data == 7);
}

TEST_CASE("What describes this machine goes before the template") {
  Entries entries = supported(0);
  entries.push_back(entry(0, 0, 0, 0x1f));
  CustomCpuTemplate chosen;
  // APIC id, number of ids, hypervisor bit, TSC deadline: all wrong.
  chosen.cpuid.push_back(leaf_modifier(
      0x1, 0, 0, {{kEbx, {.mask = 0xffffffff, .value = 0xeeeeee00}}, {kEcx, {.mask = 0xffffffff, .value = 0}}}));
  REQUIRE(apply_template(entries, chosen).ok());
  normalize_cpuid(entries, {.vcpu_count = 4, .smt = Smt::Off}, kIceLake);
  set_cpu_identity(entries, {.vcpu_count = 4, .smt = Smt::Off}, 3);
  CHECK(register_value(entries, 0x1, 0, kEbx) == 0x03040800);
  CHECK(register_value(entries, 0x1, 0, kEcx) == (1U << 31 | 1U << 24));
}

}  // namespace
}  // namespace wisp::arch
