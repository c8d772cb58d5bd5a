#include "jailer/seccomp/filters.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "jailer/seccomp/built_in.h"
#include "vmm/base/exit_code.h"

namespace wisp::seccomp {
namespace {

FilterSet filters_in_use = FilterSet::disabled(IUnderstandThisRemovesContainment{});

void install(ThreadKind kind) {
  const Program program = filters_in_use.of(kind);
  if (program.empty()) {
    return;
  }
  sock_fprog request{};
  request.len = static_cast<unsigned short>(program.size());
  request.filter = const_cast<sock_filter*>(program.data());  // the kernel only reads it
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &request) != 0) {
    (void)std::fprintf(stderr, "Error: cannot install the system call filter of the thread kind '%s': %s\n",
                       to_string(kind), std::strerror(errno));
    ::_exit(to_int(ExitCode::GenericError));
  }
}

}  // namespace

FilterSet FilterSet::built_in() {
  FilterSet set;
  set.programs_[static_cast<std::size_t>(ThreadKind::Setup)] = kBuiltInSetup;
  set.programs_[static_cast<std::size_t>(ThreadKind::Loop)] = kBuiltInLoop;
  set.programs_[static_cast<std::size_t>(ThreadKind::Api)] = kBuiltInApi;
  set.programs_[static_cast<std::size_t>(ThreadKind::Vcpu)] = kBuiltInVcpu;
  set.programs_[static_cast<std::size_t>(ThreadKind::Guard)] = kBuiltInGuard;
  return set;
}

FilterSet FilterSet::custom(const FilterMap& filters, IUnderstandThisRemovesContainment /*token*/) {
  const auto program = [&](const char* name) {
    const auto found = filters.find(name);
    return found == filters.end() ? Program() : Program(found->second);
  };
  FilterSet set;
  set.programs_[static_cast<std::size_t>(ThreadKind::Setup)] = program("setup");
  set.programs_[static_cast<std::size_t>(ThreadKind::Loop)] = program("vmm");
  set.programs_[static_cast<std::size_t>(ThreadKind::Api)] = program("api");
  set.programs_[static_cast<std::size_t>(ThreadKind::Vcpu)] = program("vcpu");
  set.programs_[static_cast<std::size_t>(ThreadKind::Guard)] = program(filters.contains("guard") ? "guard" : "vmm");
  return set;
}

void use(const FilterSet& filters) {
  filters_in_use = filters;
  set_confinement(install);
}

const char* call_name(int number) {
  if (number < 0 || static_cast<std::size_t>(number) >= kBuiltInCallNamePositions.size()) {
    return nullptr;
  }
  const std::size_t position = kBuiltInCallNamePositions[static_cast<std::size_t>(number)];
  return position == 0 ? nullptr : &kBuiltInCallNames[position];
}

int call_number(const char* name) {
  for (std::size_t number = 0; number < kBuiltInCallNamePositions.size(); ++number) {
    const char* each = call_name(static_cast<int>(number));
    if (each != nullptr && std::strcmp(each, name) == 0) {
      return static_cast<int>(number);
    }
  }
  return -1;
}

}  // namespace wisp::seccomp
