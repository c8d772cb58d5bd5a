// The monitor's system call policy: what each kind of thread may ask of the kernel, and why.
//
// This is the source; jailer/seccomp/policy/main.cpp compiles it at build time, so the monitor carries only the result.
// How to read a rule of policy.cpp:
//
//   {kLoop | kVcpu, "futex", {bits(1, kFutexOperation, FUTEX_WAIT)}, "why some code of ours needs it"}
//
// Every thread kind starts with nothing. A call passes when one rule of its kind names it and all conditions of that
// rule hold. Of the rest, what no version of wisp could ever make is killed by the kernel at once (kNever); everything
// else is trapped: the handler says what it was and the process ends with exit code 148 (vmm/cli/process.cpp).
// Conditions compare the low 32 bits of an argument: all that are compared here are C ints, whose upper half is noise.
//
// Threads inherit the filters of the thread that starts them, and a call must pass all of a thread's filters:
//   Setup   the main thread while it configures and builds the machine; its filter includes all that Loop, Vcpu and
//   Guard may Loop    on top of Setup, from the moment when the machine is built: no new VM, vCPU or thread any more
//   Vcpu    on top of Setup, before the first guest instruction
//   Guard   on top of Setup: the watcher of a loaded machine's page-fault handler
//   Api     alone: started before Setup is in place
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "vmm/base/confinement.h"

namespace wisp::seccomp {

inline constexpr std::size_t kMaxConditions = 3;

/// (argument & mask) == value.
struct Condition {
  std::uint32_t index = 0;
  std::uint32_t mask = 0;
  std::uint32_t value = 0;
};
/// The argument is exactly this.
constexpr Condition is(std::uint32_t index, std::uint64_t value) {
  return {index, 0xffffffffU, static_cast<std::uint32_t>(value)};
}
/// Of the bits in `mask`, exactly those in `value` are set.
constexpr Condition bits(std::uint32_t index, std::uint64_t mask, std::uint64_t value) {
  return {index, static_cast<std::uint32_t>(mask), static_cast<std::uint32_t>(value)};
}
/// No bits but these.
constexpr Condition only(std::uint32_t index, std::uint64_t allowed) {
  return {index, ~static_cast<std::uint32_t>(allowed), 0};
}

struct Conditions {
  constexpr Conditions(std::initializer_list<Condition> list) {
    for (const Condition& each : list) {
      items[count++] = each;
    }
  }
  constexpr std::span<const Condition> view() const { return {items, count}; }
  Condition items[kMaxConditions];
  std::size_t count = 0;
};

using KindSet = unsigned;
constexpr KindSet set_of(ThreadKind kind) {
  return 1U << static_cast<unsigned>(kind);
}
inline constexpr KindSet kApi = set_of(ThreadKind::Api);
inline constexpr KindSet kLoop = set_of(ThreadKind::Loop);
inline constexpr KindSet kVcpu = set_of(ThreadKind::Vcpu);
inline constexpr KindSet kSetup = set_of(ThreadKind::Setup);
inline constexpr KindSet kGuard = set_of(ThreadKind::Guard);
inline constexpr KindSet kEvery = kApi | kLoop | kVcpu | kGuard;

struct Rule {
  KindSet kinds;
  const char* call;
  Conditions conditions;
  const char* reason;
};

/// Refused by the kernel in every thread, without a chance to say why.
struct Never {
  const char* call;
  Conditions conditions;
  const char* reason;
};

std::span<const Rule> rules();
std::span<const Never> never();

/// Setup may do everything that the threads may that inherit its filter.
constexpr bool applies(const Rule& rule, ThreadKind kind) {
  return (rule.kinds & set_of(kind)) != 0 ||
         (kind == ThreadKind::Setup && (rule.kinds & (kLoop | kVcpu | kGuard)) != 0);
}

}  // namespace wisp::seccomp
