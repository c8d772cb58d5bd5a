// The readable filter file of the reference's compiler (JSON), for `wisp seccomp compile IN.json OUT`:
//
//   {"vmm": {"default_action": "trap", "filter_action": "allow",
//            "filter": [{"syscall": "read"},
//                       {"syscall": "ioctl", "args": [{"index": 1, "type": "dword", "op": "eq", "val": 44672}]}]},
//    "api": {...}, "vcpu": {...}}
//
// Actions: allow, kill_thread, kill_process, log, trap, {"errno": N}, {"trace": N}. Operators: eq, ne, lt, le, gt, ge,
// {"masked_eq": MASK}. All comparisons of a rule must hold; several rules for one call are alternatives. A dword is the
// argument's low 32 bits. Unknown members (comments) are ignored; duplicate ones refused.
#pragma once

#include <string_view>

#include "jailer/seccomp/filter_file.h"

namespace wisp::api {

/// Programs that read_filter_file() takes; the error names the thread category and the rule.
Result<seccomp::FilterMap> compile_seccomp_source(std::string_view json);

}  // namespace wisp::api
