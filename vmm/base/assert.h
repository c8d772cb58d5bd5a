// Assertions: for our own mistakes only.
//
// A WISP_ASSERT guards an invariant that no guest, no file and no client can break. It stays on in release builds and
// ends the process with the place it failed. Anything that input can reach is a value (`Result`, an outcome enum),
// never an assertion.
#pragma once

namespace wisp {

/// Prints `file:line: assertion failed: expression` to standard error and aborts.
[[noreturn]] void assertion_failed(const char* file, int line, const char* expression);

}  // namespace wisp

#define WISP_ASSERT(condition)                                              \
  (__builtin_expect(static_cast<bool>(condition), 1) ? static_cast<void>(0) \
                                                     : ::wisp::assertion_failed(__FILE__, __LINE__, #condition))
