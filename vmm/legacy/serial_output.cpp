#include "vmm/legacy/serial_output.h"

#include <unistd.h>

namespace wisp {
SerialOutput SerialOutput::owned(Fd sink) {
  const int target = sink.raw();
  return SerialOutput(std::move(sink), target, Asking::No);
}

SerialOutput SerialOutput::shared(FdRef sink) {
  return SerialOutput(Fd(), sink.raw(), Asking::Yes);
}

SerialOutput::Outcome SerialOutput::put(std::byte byte) const {
  if (asking_ == Asking::Yes && !can_write_now(FdRef(target_))) {
    return Outcome::Lost;
  }
  return ::write(target_, &byte, 1) == 1 ? Outcome::Written : Outcome::Lost;
}

}  // namespace wisp
