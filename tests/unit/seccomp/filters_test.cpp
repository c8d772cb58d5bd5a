#include "jailer/seccomp/filters.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <string>

#include "jailer/seccomp/policy/policy.h"
#include "tests/unit/seccomp/bpf_machine.h"

namespace wisp {
namespace {

using seccomp::Condition;
using seccomp::Conditions;

using Arguments = std::array<std::uint64_t, 6>;

constexpr std::array kKinds = {ThreadKind::Setup, ThreadKind::Loop, ThreadKind::Api, ThreadKind::Vcpu,
                               ThreadKind::Guard};
constexpr int kHighestNumber = 470;
constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::uint32_t kNoSuchCall = SECCOMP_RET_ERRNO | ENOSYS;

std::uint32_t verdict(ThreadKind kind, int number, const Arguments& arguments, std::uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data call{};
  call.nr = number;
  call.arch = arch;
  std::copy(arguments.begin(), arguments.end(), std::begin(call.args));
  const auto answer = BpfMachine(seccomp::FilterSet::built_in().of(kind)).run(call);
  REQUIRE(answer.has_value());
  return *answer;
}

bool hold(const Conditions& conditions, const Arguments& arguments) {
  for (const Condition& each : conditions.view()) {
    if ((static_cast<std::uint32_t>(arguments[each.index]) & each.mask) != each.value) {
      return false;
    }
  }
  return true;
}

/// What the policy says, read straight from its table.
std::uint32_t wanted(ThreadKind kind, int number, const Arguments& arguments) {
  if (number == SYS_clone3) {
    return kNoSuchCall;
  }
  for (const seccomp::Never& each : seccomp::never()) {
    if (seccomp::call_number(each.call) == number && hold(each.conditions, arguments)) {
      return SECCOMP_RET_KILL_PROCESS;
    }
  }
  for (const seccomp::Rule& each : seccomp::rules()) {
    if (applies(each, kind) && seccomp::call_number(each.call) == number && hold(each.conditions, arguments)) {
      return SECCOMP_RET_ALLOW;
    }
  }
  return SECCOMP_RET_TRAP;
}

Arguments satisfying(const Conditions& conditions, std::uint64_t rest) {
  Arguments arguments;
  arguments.fill(rest);
  for (const Condition& each : conditions.view()) {
    const std::uint64_t high_half = rest & ~std::uint64_t{0xffffffff};
    arguments[each.index] = high_half | (rest & ~each.mask & 0xffffffff) | each.value;
  }
  return arguments;
}

void check_as_wanted(ThreadKind kind, int number, const Arguments& arguments) {
  const std::uint32_t answer = verdict(kind, number, arguments);
  if (answer != wanted(kind, number, arguments)) {
    INFO("thread kind " << to_string(kind) << ", call " << number << " arguments " << arguments[0] << ","
                        << arguments[1] << "," << arguments[2] << "," << arguments[3]);
    CHECK(answer == wanted(kind, number, arguments));
  }
}

}  // namespace

TEST_CASE("seccomp: every call number with plain arguments gets what the policy says, in every thread kind") {
  for (const ThreadKind kind : kKinds) {
    for (int number = 0; number <= kHighestNumber; ++number) {
      for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
        Arguments arguments;
        arguments.fill(value);
        check_as_wanted(kind, number, arguments);
      }
    }
  }
}

TEST_CASE("seccomp: arguments that fit a rule, and those one bit off, get what the policy says") {
  for (const ThreadKind kind : kKinds) {
    for (const seccomp::Rule& rule : seccomp::rules()) {
      const int number = seccomp::call_number(rule.call);
      REQUIRE(number >= 0);
      for (const std::uint64_t rest : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        const Arguments fitting = satisfying(rule.conditions, rest);
        check_as_wanted(kind, number, fitting);
        for (const Condition& each : rule.conditions.view()) {
          for (unsigned bit = 0; bit < 32; ++bit) {
            Arguments off = fitting;
            off[each.index] ^= std::uint64_t{1} << bit;
            check_as_wanted(kind, number, off);
          }
        }
      }
    }
  }
}

TEST_CASE("seccomp: each rule lets its own call pass") {
  for (const ThreadKind kind : kKinds) {
    for (const seccomp::Rule& rule : seccomp::rules()) {
      if (applies(rule, kind)) {
        INFO(rule.call << " in " << to_string(kind) << ": " << rule.reason);
        CHECK(verdict(kind, seccomp::call_number(rule.call), satisfying(rule.conditions, 0)) == SECCOMP_RET_ALLOW);
      }
    }
  }
}

TEST_CASE("seccomp: other architectures and x32 numbers are killed, whatever the call") {
  for (const ThreadKind kind : kKinds) {
    for (int number = 0; number <= kHighestNumber; ++number) {
      REQUIRE(verdict(kind, number, {}, AUDIT_ARCH_I386) == SECCOMP_RET_KILL_PROCESS);
      REQUIRE(verdict(kind, number, {}, AUDIT_ARCH_AARCH64) == SECCOMP_RET_KILL_PROCESS);
      REQUIRE(verdict(kind, static_cast<int>(kX32Bit) | number, {}) == SECCOMP_RET_KILL_PROCESS);
    }
  }
}

TEST_CASE("seccomp: programs, processes and new code are killed in every thread kind") {
  for (const ThreadKind kind : kKinds) {
    CHECK(verdict(kind, SYS_execve, {}) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(kind, SYS_ptrace, {}) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(kind, SYS_mount, {}) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(kind, SYS_clone, {SIGCHLD}) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(kind, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}) ==
          SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(kind, SYS_mprotect, {0, 4096, PROT_READ | PROT_EXEC}) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(kind, SYS_clone3, {}) == kNoSuchCall);
    CHECK(verdict(kind, SYS_socket, {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0}) == SECCOMP_RET_TRAP);
  }
}

TEST_CASE("seccomp: once the machine is built, the loop makes no VM, vCPU or thread and runs no guest") {
  for (const std::uint64_t request :
       {std::uint64_t{KVM_CREATE_VM}, std::uint64_t{KVM_CREATE_VCPU}, std::uint64_t{KVM_RUN},
        std::uint64_t{KVM_SET_SREGS}, std::uint64_t{KVM_CREATE_IRQCHIP}}) {
    CHECK(verdict(ThreadKind::Setup, SYS_ioctl, {3, request}) == SECCOMP_RET_ALLOW);
    CHECK(verdict(ThreadKind::Loop, SYS_ioctl, {3, request}) == SECCOMP_RET_TRAP);
  }
  CHECK(verdict(ThreadKind::Loop, SYS_clone, {0x3d0f00}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Loop, SYS_seccomp, {1, 0}) == SECCOMP_RET_TRAP);
}

TEST_CASE("seccomp: a vCPU's thread opens nothing, connects nowhere and knows one KVM call") {
  CHECK(verdict(ThreadKind::Vcpu, SYS_ioctl, {3, KVM_RUN}) == SECCOMP_RET_ALLOW);
  CHECK(verdict(ThreadKind::Vcpu, SYS_ioctl, {3, KVM_SET_USER_MEMORY_REGION}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Vcpu, SYS_openat, {0, 0, O_CLOEXEC}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Vcpu, SYS_open, {}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Vcpu, SYS_connect, {}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Vcpu, SYS_io_uring_enter, {}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Vcpu, SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED}) == SECCOMP_RET_TRAP);
}

TEST_CASE("seccomp: an API thread has no ioctl but the terminal's, and opens nothing") {
  CHECK(verdict(ThreadKind::Api, SYS_ioctl, {3, KVM_RUN}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Api, SYS_openat, {0, 0, O_CLOEXEC}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Api, SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Api, SYS_accept4, {3, 0, 0, SOCK_CLOEXEC}) == SECCOMP_RET_ALLOW);
}

TEST_CASE("seccomp: a file is opened only with close-on-exec, and never as a bare path") {
  CHECK(verdict(ThreadKind::Loop, SYS_openat, {0, 0, O_RDWR | O_CLOEXEC}) == SECCOMP_RET_ALLOW);
  CHECK(verdict(ThreadKind::Loop, SYS_openat, {0, 0, O_RDWR}) == SECCOMP_RET_TRAP);
  CHECK(verdict(ThreadKind::Loop, SYS_openat, {0, 0, O_PATH | O_CLOEXEC}) == SECCOMP_RET_TRAP);
}

TEST_CASE("seccomp: call names and numbers belong together") {
  CHECK(seccomp::call_name(SYS_read) == std::string("read"));
  CHECK(seccomp::call_name(SYS_openat) == std::string("openat"));
  CHECK(seccomp::call_number("openat") == SYS_openat);
  CHECK(seccomp::call_number("no such call") == -1);
  CHECK(seccomp::call_name(-1) == nullptr);
  CHECK(seccomp::call_name(1 << 20) == nullptr);
}

}  // namespace wisp
