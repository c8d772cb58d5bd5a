#include "jailer/seccomp/assemble.h"

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <array>
#include <catch2/catch.hpp>

#include "jailer/seccomp/filter_file.h"
#include "tests/unit/seccomp/bpf_machine.h"

namespace wisp::seccomp {
namespace {

constexpr std::uint32_t kRest = SECCOMP_RET_TRAP;
constexpr std::uint32_t kMatch = SECCOMP_RET_ALLOW;
constexpr int kCall = 16;
// Both halves around both halves of the value that is compared with.
constexpr std::uint64_t kValue = 0x00000005'00000007;
constexpr std::array<std::uint64_t, 12> kArguments = {0,
                                                      6,
                                                      7,
                                                      8,
                                                      0x00000005'00000006,
                                                      kValue,
                                                      0x00000005'00000008,
                                                      0x00000004'00000007,
                                                      0x00000006'00000007,
                                                      0x00000004'ffffffff,
                                                      0x00000006'00000000,
                                                      ~std::uint64_t{0}};

std::uint32_t verdict_of(const std::vector<sock_filter>& program, int number, std::uint64_t third = 0,
                         std::uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data call{};
  call.nr = number;
  call.arch = arch;
  call.args[2] = third;
  const auto answer = BpfMachine(program).run(call);
  REQUIRE(answer.has_value());
  return *answer;
}

std::vector<sock_filter> with(const std::vector<CallRule>& rules) {
  auto program = assemble({kRest, kMatch, rules});
  REQUIRE(program.ok());
  return std::move(program).value();
}

bool holds(CompareBy by, std::uint64_t argument, std::uint64_t value, std::uint64_t mask) {
  switch (by) {
    case CompareBy::Equal: return argument == value;
    case CompareBy::NotEqual: return argument != value;
    case CompareBy::Less: return argument < value;
    case CompareBy::LessOrEqual: return argument <= value;
    case CompareBy::Greater: return argument > value;
    case CompareBy::GreaterOrEqual: return argument >= value;
    case CompareBy::MaskedEqual: return (argument & mask) == (value & mask);
  }
  return false;
}

constexpr std::array kOperators = {CompareBy::Equal,       CompareBy::NotEqual, CompareBy::Less,
                                   CompareBy::LessOrEqual, CompareBy::Greater,  CompareBy::GreaterOrEqual,
                                   CompareBy::MaskedEqual};

}  // namespace

TEST_CASE("every operator over all 64 bits says what arithmetic says") {
  constexpr std::uint64_t kMask = 0xf0f0f0f5'0f0f0f07;
  for (const CompareBy by : kOperators) {
    const auto program = with({{kCall, {{2, CompareWidth::Qword, by, kValue, kMask}}}});
    for (const std::uint64_t argument : kArguments) {
      INFO("operator " << static_cast<int>(by) << " argument " << argument);
      CHECK((verdict_of(program, kCall, argument) == kMatch) == holds(by, argument, kValue, kMask));
    }
  }
}

TEST_CASE("every operator over a dword looks at the low 32 bits alone") {
  for (const CompareBy by : kOperators) {
    const auto program = with({{kCall, {{2, CompareWidth::Dword, by, 7, 0xff}}}});
    for (const std::uint64_t argument : kArguments) {
      INFO("operator " << static_cast<int>(by) << " argument " << argument);
      CHECK((verdict_of(program, kCall, argument) == kMatch) == holds(by, argument & 0xffffffff, 7, 0xff));
    }
  }
}

TEST_CASE("all comparisons of a rule must hold and one rule of a call is enough") {
  const auto at_least_7 = Comparison{2, CompareWidth::Qword, CompareBy::GreaterOrEqual, 7};
  const auto below_9 = Comparison{2, CompareWidth::Qword, CompareBy::Less, 9};
  const auto is_100 = Comparison{2, CompareWidth::Qword, CompareBy::Equal, 100};
  const auto program = with({{kCall, {at_least_7, below_9}}, {1, {}}, {kCall, {is_100}}});
  CHECK(verdict_of(program, kCall, 6) == kRest);
  CHECK(verdict_of(program, kCall, 8) == kMatch);
  CHECK(verdict_of(program, kCall, 9) == kRest);
  CHECK(verdict_of(program, kCall, 100) == kMatch);
  CHECK(verdict_of(program, 1, 9) == kMatch);
  CHECK(verdict_of(program, 2, 8) == kRest);
}

TEST_CASE("other architectures and x32 numbers are killed whatever the rules say") {
  const auto program = with({{kCall, {}}});
  CHECK(verdict_of(program, kCall, 0, AUDIT_ARCH_I386) == SECCOMP_RET_KILL_PROCESS);
  CHECK(verdict_of(program, kCall | 0x40000000) == SECCOMP_RET_KILL_PROCESS);
  CHECK(verdict_of(program, -1) == SECCOMP_RET_KILL_PROCESS);
}

TEST_CASE("what is assembled the kernel would take") {
  std::vector<CallRule> rules;
  for (int number = 0; number < 300; ++number) {
    rules.push_back({number, {{5, CompareWidth::Qword, CompareBy::LessOrEqual, kValue}}});
  }
  CHECK(check_program(with(rules)).ok());
}

TEST_CASE("more rules than the kernel's instructions hold are refused") {
  const FilterSource source{kRest, kMatch, std::vector<CallRule>(1100, {kCall, {{0, {}, CompareBy::Equal, 1}}})};
  CHECK(assemble(source).error().code() == ErrorCode::LimitExceeded);
}

}  // namespace wisp::seccomp
