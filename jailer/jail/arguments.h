// The jailer's command line: the table that plan_jail() parses by, and the page that its help is made of. `wisp help`
// and `wisp completion` show it too.
#pragma once

#include "vmm/base/manual.h"

namespace wisp {

extern const ManualPage kJailerPage;

}  // namespace wisp
