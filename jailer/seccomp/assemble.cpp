#include "jailer/seccomp/assemble.h"

#include <linux/audit.h>

#include <cstddef>
#include <map>

#include "jailer/seccomp/filter_file.h"

namespace wisp::seccomp {
namespace {

using Program = std::vector<sock_filter>;

constexpr std::uint32_t kX32Bit = 0x40000000;
/// Stands for "this rule does not match" until its distance is known.
constexpr std::uint32_t kToNextRule = 0xffffffff;

constexpr sock_filter load(std::size_t offset) {
  return {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)};
}
constexpr sock_filter verdict(std::uint32_t value) {
  return {BPF_RET | BPF_K, 0, 0, value};
}
constexpr sock_filter jump(std::uint32_t distance) {
  return {BPF_JMP | BPF_JA, 0, 0, distance};
}
constexpr sock_filter branch(std::uint16_t test, std::uint32_t value, std::uint8_t if_true, std::uint8_t if_false) {
  return {static_cast<std::uint16_t>(BPF_JMP | BPF_K | test), if_true, if_false, value};
}
constexpr sock_filter no_match() {
  return jump(kToNextRule);
}

constexpr std::size_t low_half(std::uint32_t index) {
  return offsetof(seccomp_data, args) + index * sizeof(std::uint64_t);
}
constexpr std::size_t high_half(std::uint32_t index) {
  return low_half(index) + sizeof(std::uint32_t);
}
constexpr std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}
constexpr std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

void append(Program& program, const Program& more) {
  program.insert(program.end(), more.begin(), more.end());
}

/// What follows is reached when the low half fits.
Program low_test(const Comparison& c) {
  const std::uint32_t value = low(c.value);
  Program out = {load(low_half(c.index))};
  switch (c.by) {
    case CompareBy::MaskedEqual:
      out.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, low(c.mask)});
      out.push_back(branch(BPF_JEQ, value & low(c.mask), 1, 0));
      break;
    case CompareBy::Equal: out.push_back(branch(BPF_JEQ, value, 1, 0)); break;
    case CompareBy::NotEqual: out.push_back(branch(BPF_JEQ, value, 0, 1)); break;
    case CompareBy::Greater: out.push_back(branch(BPF_JGT, value, 1, 0)); break;
    case CompareBy::GreaterOrEqual: out.push_back(branch(BPF_JGE, value, 1, 0)); break;
    case CompareBy::Less: out.push_back(branch(BPF_JGE, value, 0, 1)); break;
    case CompareBy::LessOrEqual: out.push_back(branch(BPF_JGT, value, 0, 1)); break;
  }
  out.push_back(no_match());
  return out;
}

/// The high half decides at once or leaves it to the low half's test, which is `after` instructions long.
Program high_test(const Comparison& c, std::size_t after) {
  const std::uint32_t value = high(c.value);
  const auto past = static_cast<std::uint8_t>(after);
  Program out = {load(high_half(c.index))};
  switch (c.by) {
    case CompareBy::MaskedEqual:
      out.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, high(c.mask)});
      out.push_back(branch(BPF_JEQ, value & high(c.mask), 1, 0));
      out.push_back(no_match());
      break;
    case CompareBy::Equal:
      out.push_back(branch(BPF_JEQ, value, 1, 0));
      out.push_back(no_match());
      break;
    case CompareBy::NotEqual: out.push_back(branch(BPF_JEQ, value, 0, past)); break;
    case CompareBy::Greater:
    case CompareBy::GreaterOrEqual:
      out.push_back(branch(BPF_JGT, value, static_cast<std::uint8_t>(past + 2), 0));
      out.push_back(branch(BPF_JEQ, value, 1, 0));
      out.push_back(no_match());
      break;
    case CompareBy::Less:
    case CompareBy::LessOrEqual:
      out.push_back(branch(BPF_JGT, value, 1, 0));
      out.push_back(branch(BPF_JEQ, value, 1, static_cast<std::uint8_t>(past + 1)));
      out.push_back(no_match());
      break;
  }
  return out;
}

Program test(const Comparison& comparison) {
  const Program low_part = low_test(comparison);
  Program out;
  if (comparison.width == CompareWidth::Qword) {
    out = high_test(comparison, low_part.size());
  }
  append(out, low_part);
  return out;
}

/// Ends with the verdict of a match; every "no match" leads behind it.
Program rule_body(const CallRule& rule, std::uint32_t match) {
  Program out;
  for (const Comparison& each : rule.comparisons) {
    append(out, test(each));
  }
  out.push_back(verdict(match));
  for (std::size_t index = 0; index < out.size(); ++index) {
    if (out[index].code == (BPF_JMP | BPF_JA) && out[index].k == kToNextRule) {
      out[index].k = static_cast<std::uint32_t>(out.size() - index - 1);
    }
  }
  return out;
}

Program prologue() {
  return {load(offsetof(seccomp_data, arch)), branch(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
          verdict(SECCOMP_RET_KILL_PROCESS),  load(offsetof(seccomp_data, nr)),
          branch(BPF_JSET, kX32Bit, 0, 1),    verdict(SECCOMP_RET_KILL_PROCESS)};
}

}  // namespace

Result<std::vector<sock_filter>> assemble(const FilterSource& source) {
  std::map<int, Program> bodies;
  for (const CallRule& rule : source.rules) {
    append(bodies[rule.number], rule_body(rule, source.match));
  }
  // The number is in the accumulator until a call's own rules begin, and they end with a verdict.
  Program program = prologue();
  for (auto& [number, body] : bodies) {
    body.push_back(verdict(source.rest));
    program.push_back(branch(BPF_JEQ, static_cast<std::uint32_t>(number), 1, 0));
    program.push_back(jump(static_cast<std::uint32_t>(body.size())));
    append(program, body);
  }
  program.push_back(verdict(source.rest));
  (void)WISP_TRY(check_program(program));
  return program;
}

}  // namespace wisp::seccomp
