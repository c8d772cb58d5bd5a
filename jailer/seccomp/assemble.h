// From rules to BPF, for `wisp seccomp compile`: the operator's readable filter, already taken apart into plain data.
//
//   FilterSource source{Verdict of the rest, verdict of a match, {{openat, {{2, 4, Dword, Equal, O_CLOEXEC}}}}};
//   auto program = WISP_TRY(assemble(source));
//
// A call matches when one rule names its number and all of that rule's comparisons hold. Calls of other architectures
// and with x32 numbers never reach the rules: the process is killed, as it is by our own filters.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>  // SECCOMP_RET_...: the verdicts of a FilterSource

#include <cstdint>
#include <vector>

#include "vmm/base/result.h"

namespace wisp::seccomp {

enum class CompareWidth { Dword, Qword };  ///< the low 32 bits of the argument, or all
enum class CompareBy { Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual, MaskedEqual };

struct Comparison {
  std::uint32_t index = 0;  ///< of the argument, 0 to 5
  CompareWidth width = CompareWidth::Qword;
  CompareBy by = CompareBy::Equal;
  std::uint64_t value = 0;
  std::uint64_t mask = ~std::uint64_t{0};  ///< MaskedEqual only
};

struct CallRule {
  int number = 0;
  std::vector<Comparison> comparisons;  ///< all must hold
};

struct FilterSource {
  std::uint32_t rest = 0;   ///< SECCOMP_RET_... when no rule matches
  std::uint32_t match = 0;  ///< SECCOMP_RET_... when one does
  std::vector<CallRule> rules;
};

/// An Error when the program would be longer than the kernel takes.
Result<std::vector<sock_filter>> assemble(const FilterSource& source);

}  // namespace wisp::seccomp
