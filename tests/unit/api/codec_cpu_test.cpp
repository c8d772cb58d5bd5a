#include "api/codec_cpu.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

using namespace wisp;
using namespace wisp::api;

namespace {

std::string refusal(const std::string& text) {
  const auto decoded = decode_cpu_config(parse_json(text).value());
  return decoded.ok() ? "accepted" : decoded.error().text();
}

CustomCpuTemplate accepted(const std::string& text) {
  auto decoded = decode_cpu_config(parse_json(text).value());
  INFO((decoded.ok() ? std::string() : decoded.error().text()));
  REQUIRE(decoded.ok());
  return std::move(decoded).value();
}

std::string leaf_with(const std::string& members) {
  return R"({"cpuid_modifiers":[{)" + members + "}]}";
}
std::string register_with(const std::string& reg, const std::string& bitmap) {
  return leaf_with(R"("leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[{"register":")" + reg + R"(","bitmap":")" +
                   bitmap + R"("}])");
}
BitModifier bits_of(const std::string& bitmap) {
  return accepted(register_with("eax", bitmap)).cpuid.at(0).registers.at(0).bits;
}
std::string repeated(const std::string& text, std::size_t count) {
  std::string all;
  for (std::size_t index = 0; index < count; ++index) {
    all += (index == 0 ? "" : ",") + text;
  }
  return all;
}

}  // namespace

TEST_CASE("cpu-config: the empty object is a template that changes nothing") {
  const CustomCpuTemplate empty = accepted("{}");
  CHECK(empty.capabilities.empty());
  CHECK(empty.cpuid.empty());
  CHECK(empty.msrs.empty());
}

TEST_CASE("cpu-config: every section arrives in order") {
  const CustomCpuTemplate full = accepted(R"({
    "kvm_capabilities": ["121", "!56"],
    "cpuid_modifiers": [
      {"leaf": "0x80000008", "subleaf": "0b10", "flags": 1, "modifiers": [
        {"register": "eax", "bitmap": "0b1"}, {"register": "ebx", "bitmap": "0"},
        {"register": "ecx", "bitmap": "x"}, {"register": "edx", "bitmap": "1x0"}]},
      {"leaf": "0x7", "subleaf": "0x0", "flags": 0, "modifiers": []}],
    "msr_modifiers": [{"addr": "0xC0000080", "bitmap": "0b1x"}]})");

  REQUIRE(full.capabilities.size() == 2);
  CHECK(full.capabilities[0].change == CapabilityChange::Add);
  CHECK(full.capabilities[0].number == 121);
  CHECK(full.capabilities[1].change == CapabilityChange::Remove);
  CHECK(full.capabilities[1].number == 56);
  REQUIRE(full.cpuid.size() == 2);
  CHECK(full.cpuid[0].leaf == 0x80000008);
  CHECK(full.cpuid[0].subleaf == 2);
  CHECK(full.cpuid[0].flags == 1);
  REQUIRE(full.cpuid[0].registers.size() == 4);
  CHECK(full.cpuid[0].registers[1].reg == CpuidRegister::Ebx);
  CHECK(full.cpuid[0].registers[3].reg == CpuidRegister::Edx);
  CHECK(full.cpuid[0].registers[3].bits.mask == 5);
  CHECK(full.cpuid[0].registers[3].bits.value == 4);
  CHECK(full.cpuid[1].registers.empty());
  REQUIRE(full.msrs.size() == 1);
  CHECK(full.msrs[0].address == 0xc0000080);
  CHECK(full.msrs[0].bits.mask == 2);
}

TEST_CASE("cpu-config: a bitmap names the low bits, and what it leaves out is the host's") {
  const auto [bitmap, mask, value] = GENERATE(table<std::string, std::uint64_t, std::uint64_t>({
      {"", 0, 0},
      {"0b", 0, 0},
      {"1", 1, 1},
      {"0b0", 1, 0},
      {"0b1_x_0", 5, 4},
      {"0x1", 5, 1},  // not hexadecimal: the bits 0, x and 1
      {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0, 0},
      {"0b11111111_11111111_11111111_11111111", 0xffffffff, 0xffffffff},
      {"0b1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0", 0x80000001, 0x80000000},
  }));
  CAPTURE(bitmap);
  CHECK(bits_of(bitmap).mask == mask);
  CHECK(bits_of(bitmap).value == value);
}

TEST_CASE("cpu-config: a bitmap of an MSR has up to 64 bits") {
  const std::string all(64, '1');
  const CustomCpuTemplate full = accepted(R"({"msr_modifiers":[{"addr":"0x10a","bitmap":"0b)" + all + R"("}]})");
  CHECK(full.msrs.at(0).bits.mask == ~std::uint64_t{0});
  CHECK(full.msrs.at(0).bits.value == ~std::uint64_t{0});
  CHECK_THAT(refusal(R"({"msr_modifiers":[{"addr":"0x10a","bitmap":"0b0)" + all + R"("}]})"),
             Catch::Matchers::Contains("at most 64 characters"));
}

TEST_CASE("cpu-config: a field of a modifier that nobody knows is ignored, an unknown section is not") {
  CHECK(refusal(leaf_with(R"("leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[],"extra":1)")) == "accepted");
  CHECK_THAT(refusal(R"({"vcpu_features":[]})"), Catch::Matchers::StartsWith("unknown field `vcpu_features`"));
  CHECK_THAT(refusal(R"({"reg_modifiers":1})"), Catch::Matchers::StartsWith("unknown field `reg_modifiers`"));
  CHECK_THAT(refusal(R"({"CPUID_MODIFIERS":[]})"), Catch::Matchers::StartsWith("unknown field"));
}

TEST_CASE("cpu-config: a wrong body is refused by a text that names the place") {
  const auto [body, part] = GENERATE(table<std::string, std::string>({
      {"[]", "expected an object"},
      {"null", "expected an object"},
      {"1", "expected an object"},
      {R"({"kvm_capabilities":null})", "field `kvm_capabilities`: invalid type"},
      {R"({"kvm_capabilities":{}})", "field `kvm_capabilities`: invalid type"},
      {R"({"kvm_capabilities":[1]})", "field `kvm_capabilities` [0]: invalid type"},
      {R"({"kvm_capabilities":["121",""]})", "field `kvm_capabilities` [1]"},
      {R"({"kvm_capabilities":["!"]})", "\"!\""},
      {R"({"kvm_capabilities":["-1"]})", "\"-1\""},
      {R"({"kvm_capabilities":["!!1"]})", "\"!!1\""},
      {R"({"kvm_capabilities":["0x1"]})", "\"0x1\""},
      {R"({"kvm_capabilities":["4294967296"]})", "\"4294967296\""},
      {R"({"cpuid_modifiers":null})", "field `cpuid_modifiers`"},
      {R"({"cpuid_modifiers":1.5})", "field `cpuid_modifiers`"},
      {R"({"cpuid_modifiers":[1]})", "field `cpuid_modifiers` [0]: invalid type: integer `1`, expected an object"},
      {leaf_with(R"("leaf":"1","subleaf":"0","flags":0,"modifiers":[])"), "\"1\", expected a 32-bit number"},
      {leaf_with(R"("leaf":1,"subleaf":"0x0","flags":0,"modifiers":[])"), "field `leaf`: invalid type"},
      {leaf_with(R"("leaf":"0x1ffffffff","subleaf":"0x0","flags":0,"modifiers":[])"), "\"0x1ffffffff\""},
      {leaf_with(R"("leaf":"0x","subleaf":"0x0","flags":0,"modifiers":[])"), "\"0x\""},
      {leaf_with(R"("leaf":"0b2","subleaf":"0x0","flags":0,"modifiers":[])"), "\"0b2\""},
      {leaf_with(R"("leaf":"0x1 ","subleaf":"0x0","flags":0,"modifiers":[])"), "\"0x1 \""},
      {leaf_with(R"("leaf":"0x-1","subleaf":"0x0","flags":0,"modifiers":[])"), "\"0x-1\""},
      {leaf_with(R"("leaf":"0x1","flags":0,"modifiers":[])"), "missing field `subleaf`"},
      {leaf_with(R"("subleaf":"0x0","flags":0,"modifiers":[])"), "missing field `leaf`"},
      {leaf_with(R"("leaf":"0x1","subleaf":"0x0","modifiers":[])"), "missing field `flags`"},
      {leaf_with(R"("leaf":"0x1","subleaf":"0x0","flags":-1,"modifiers":[])"), "field `flags`: invalid value"},
      {leaf_with(R"("leaf":"0x1","subleaf":"0x0","flags":0)"), "missing field `modifiers`"},
      {leaf_with(R"("leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":null)"), "field `modifiers`: invalid type"},
      {register_with("r8", "0b0"), "unknown variant `r8`"},
      {register_with("EAX", "0b0"), "unknown variant `EAX`"},
      {register_with("eax", "0b2"), "\"0b2\", expected at most 32 characters"},
      {register_with("eax", "0b000000000000000000000000000000000"), "expected at most 32 characters"},
      {register_with("eax", "0b0b1"), "expected at most 32 characters"},
      {R"({"msr_modifiers":{}})", "field `msr_modifiers`"},
      {R"({"msr_modifiers":[{"addr":"266","bitmap":"0b1"}]})", "field `msr_modifiers` [0]: field `addr`"},
      {R"({"msr_modifiers":[{"addr":"","bitmap":"0b1"}]})", "field `addr`"},
      {R"({"msr_modifiers":[{"bitmap":"0b1"}]})", "missing field `addr`"},
      {R"({"msr_modifiers":[{"addr":"0x1"}]})", "missing field `bitmap`"},
  }));
  CAPTURE(body);
  CHECK_THAT(refusal(body), Catch::Matchers::Contains(part));
}

TEST_CASE("cpu-config: each list is as long as its limit at most") {
  const auto capabilities = [](std::size_t count) {
    return R"({"kvm_capabilities":[)" + repeated(R"("1")", count) + "]}";
  };
  const auto leaves = [](std::size_t count) {
    return R"({"cpuid_modifiers":[)" + repeated(R"({"leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[]})", count) +
           "]}";
  };
  const auto registers = [](std::size_t count) {
    return leaf_with(R"("leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[)" +
                     repeated(R"({"register":"eax","bitmap":"1"})", count) + "]");
  };
  const auto msrs = [](std::size_t count) {
    return R"({"msr_modifiers":[)" + repeated(R"({"addr":"0x1","bitmap":"1"})", count) + "]}";
  };
  CHECK(refusal(capabilities(kMaxCapabilityChanges)) == "accepted");
  CHECK_THAT(refusal(capabilities(kMaxCapabilityChanges + 1)), Catch::Matchers::Contains("129 elements, at most 128"));
  CHECK(refusal(leaves(kMaxCpuidLeafModifiers)) == "accepted");
  CHECK_THAT(refusal(leaves(kMaxCpuidLeafModifiers + 1)), Catch::Matchers::Contains("at most 256"));
  CHECK(refusal(registers(kMaxRegisterModifiersPerLeaf)) == "accepted");
  CHECK_THAT(refusal(registers(kMaxRegisterModifiersPerLeaf + 1)), Catch::Matchers::Contains("at most 32"));
  CHECK(refusal(msrs(kMaxMsrModifiers)) == "accepted");
  CHECK_THAT(refusal(msrs(kMaxMsrModifiers + 1)), Catch::Matchers::Contains("at most 200"));
}
