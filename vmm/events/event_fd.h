// EventFd: a kernel counter that wakes whoever waits for it (eventfd(2)). Non-blocking and close-on-exec.
#pragma once

#include <cstdint>

#include "vmm/base/fd.h"

namespace wisp {

class EventFd {
 public:
  static Result<EventFd> create();

  FdRef ref() const { return fd_.ref(); }
  /// Adds one. Never blocks; a full counter is signalled already, so nothing is lost.
  void signal() const;
  /// Takes the count and resets it to zero; 0 when it was not signalled.
  std::uint64_t drain() const;

 private:
  explicit EventFd(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace wisp
