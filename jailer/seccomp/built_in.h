// What the build makes of the policy (jailer/seccomp/policy): plain arrays, ready for the kernel.
#pragma once

#include <cstdint>
#include <span>

#include "jailer/seccomp/filters.h"

namespace wisp::seccomp {

extern const Program kBuiltInSetup;
extern const Program kBuiltInLoop;
extern const Program kBuiltInApi;
extern const Program kBuiltInVcpu;
extern const Program kBuiltInGuard;
/// Names of the system calls, each ended by a zero byte; the position of a number's name, 0 when it has none.
extern const std::span<const char> kBuiltInCallNames;
extern const std::span<const std::uint16_t> kBuiltInCallNamePositions;

}  // namespace wisp::seccomp
