#include "vmm/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace wisp {

void assertion_failed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace wisp
