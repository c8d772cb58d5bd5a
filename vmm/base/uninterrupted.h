// A system call that a signal interrupted has done nothing: make it again.
//
//   const ssize_t count = uninterrupted([&] { return ::read(fd, data, size); });
#pragma once

#include <cerrno>

namespace wisp {

/// What the last call answered: anything but a negative result with EINTR. errno is the last call's.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

}  // namespace wisp
