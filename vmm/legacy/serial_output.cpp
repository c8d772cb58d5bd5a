#include "vmm/legacy/serial_output.h"

#include <poll.h>
#include <unistd.h>

namespace wisp {
namespace {

/// A pipe that is ready has room for PIPE_BUF bytes, a terminal for at least one: a write of one byte will not block.
bool can_write_now(int fd) {
  pollfd query{fd, POLLOUT, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & POLLOUT) != 0;
}

}  // namespace

SerialOutput SerialOutput::owned(Fd sink) {
  const int target = sink.raw();
  return SerialOutput(std::move(sink), target, Asking::No);
}

SerialOutput SerialOutput::shared(FdRef sink) {
  return SerialOutput(Fd(), sink.raw(), Asking::Yes);
}

SerialOutput::Outcome SerialOutput::put(std::byte byte) const {
  if (asking_ == Asking::Yes && !can_write_now(target_)) {
    return Outcome::Lost;
  }
  return ::write(target_, &byte, 1) == 1 ? Outcome::Written : Outcome::Lost;
}

}  // namespace wisp
