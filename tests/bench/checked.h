// What the floors share: a call that must succeed. Nothing but write(2): a floor carries no more than what it measures.
#pragma once

#include <unistd.h>

#include <cstring>

[[noreturn]] inline void fail(const char* what) {
  (void)!write(STDERR_FILENO, what, std::strlen(what));
  (void)!write(STDERR_FILENO, "\n", 1);
  _exit(1);
}

inline int checked(int result, const char* what) {
  if (result < 0) {
    fail(what);
  }
  return result;
}
