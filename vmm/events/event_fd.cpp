#include "vmm/events/event_fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace wisp {

Result<EventFd> EventFd::create() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid()) {
    return Error::host(errno, "cannot create an eventfd", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  return EventFd(std::move(fd));
}

void EventFd::signal() const {
  const std::uint64_t one = 1;
  (void)!::write(fd_.raw(), &one, sizeof(one));
}

std::uint64_t EventFd::drain() const {
  std::uint64_t count = 0;
  return ::read(fd_.raw(), &count, sizeof(count)) == sizeof(count) ? count : 0;
}

}  // namespace wisp
