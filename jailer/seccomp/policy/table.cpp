#include "jailer/seccomp/policy/table.h"

#include <array>
#include <cstdio>
#include <set>
#include <string>

#include "jailer/seccomp/policy/policy.h"

namespace wisp::seccomp {
namespace {

constexpr std::array kKinds = {ThreadKind::Api, ThreadKind::Vcpu, ThreadKind::Guard, ThreadKind::Loop,
                               ThreadKind::Setup};

std::string text_of(const Condition& condition) {
  std::array<char, 64> text{};
  if (condition.mask == 0xffffffffU) {
    (void)std::snprintf(text.data(), text.size(), "arg%u = 0x%x", condition.index, condition.value);
  } else if (condition.value == 0) {
    (void)std::snprintf(text.data(), text.size(), "arg%u has no bits but 0x%x", condition.index, ~condition.mask);
  } else {
    (void)std::snprintf(text.data(), text.size(), "arg%u & 0x%x = 0x%x", condition.index, condition.mask,
                        condition.value);
  }
  return text.data();
}

std::string text_of(const Conditions& conditions) {
  std::string text;
  for (const Condition& each : conditions.view()) {
    text += (text.empty() ? "" : ", ") + text_of(each);
  }
  return text;
}

std::string kinds_of(const Rule& rule) {
  std::string text;
  for (const ThreadKind kind : kKinds) {
    if ((rule.kinds & set_of(kind)) != 0) {
      text += (text.empty() ? "" : ", ") + std::string(to_string(kind));
    }
  }
  return text;
}

void print_counts() {
  std::printf("| Thread kind | rules | different calls |\n|---|---|---|\n");
  for (const ThreadKind kind : kKinds) {
    std::set<std::string> calls;
    std::size_t count = 0;
    for (const Rule& rule : rules()) {
      if (applies(rule, kind)) {
        ++count;
        calls.insert(rule.call);
      }
    }
    std::printf("| `%s` | %zu | %zu |\n", to_string(kind), count, calls.size());
  }
}

}  // namespace

void print_rules() {
  std::size_t index = 0;
  for (const Rule& rule : rules()) {
    std::printf("%zu\t%s\t%s\t%s\n", index++, kinds_of(rule).c_str(), rule.call, text_of(rule.conditions).c_str());
  }
}

void print_tables() {
  print_counts();
  std::printf("\n### Allowed\n\n| Threads | Call | Only when | Needed for |\n|---|---|---|---|\n");
  for (const Rule& rule : rules()) {
    std::printf("| %s | `%s` | %s | %s |\n", kinds_of(rule).c_str(), rule.call, text_of(rule.conditions).c_str(),
                rule.reason);
  }
  std::printf("\n### Killed by the kernel\n\n| Call | Only when | Because |\n|---|---|---|\n");
  for (const Never& rule : never()) {
    std::printf("| `%s` | %s | %s |\n", rule.call, text_of(rule.conditions).c_str(), rule.reason);
  }
}

}  // namespace wisp::seccomp
