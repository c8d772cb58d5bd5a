// What an operator does with filter files, without a machine:
//
//   wisp seccomp compile IN.json OUT     the readable filters of IN, ready for --seccomp-filter OUT
//   wisp seccomp check FILE              would --seccomp-filter take this file; sizes per thread category
#pragma once

#include <span>
#include <string_view>

#include "jailer/seccomp/filter_file.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/manual.h"

namespace wisp {

extern const ManualPage kSeccompPage;

/// `words` are those behind "seccomp". `compile_source` reads the JSON text.
ExitCode run_seccomp_command(std::span<char* const> words,
                             Result<seccomp::FilterMap> (*compile_source)(std::string_view));

}  // namespace wisp
