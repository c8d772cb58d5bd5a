#include "vmm/legacy/serial_input.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/base/log.h"

namespace wisp {
namespace {

/// Somebody else may read the same descriptor and have taken what woke us; a blocking read would then hold up the loop.
bool has_input_now(int fd) {
  pollfd query{fd, POLLIN, 0};
  return ::poll(&query, 1, 0) == 1;
}

}  // namespace

bool SerialInput::accepts(FdRef input) {
  struct stat status {};
  return ::isatty(input.raw()) == 1 || (::fstat(input.raw(), &status) == 0 && S_ISFIFO(status.st_mode));
}

SerialInput::SerialInput(EventLoop& loop, FdRef input, Serial& serial) : loop_(loop), input_(input), serial_(serial) {}

Result<std::unique_ptr<SerialInput>> SerialInput::attach(EventLoop& loop, FdRef input, Serial& serial) {
  std::unique_ptr<SerialInput> self(new SerialInput(loop, input, serial));
  (void)WISP_TRY(loop.watch(serial.room_event().ref(), Interest::Readable, self->on_room_));
  (void)WISP_TRY(loop.watch(input, Interest::Readable, self->on_input_));
  self->state_ = State::Watching;
  return self;
}

SerialInput::~SerialInput() {
  stop_watching(State::Ended);
  loop_.unwatch(serial_.room_event().ref(), on_room_);
}

void SerialInput::stop_watching(State next) {
  if (state_ == State::Watching) {
    loop_.unwatch(input_, on_input_);
  }
  state_ = next;
}

void SerialInput::transfer(std::uint32_t /*events*/) {
  const std::size_t room = serial_.input_room();
  if (room == 0) {
    stop_watching(State::WaitingForRoom);
    return;
  }
  if (!has_input_now(input_.raw())) {
    return;
  }
  std::array<std::byte, kReceiveFifoBytes> bytes{};
  const ssize_t count = ::read(input_.raw(), bytes.data(), room);
  if (count > 0) {
    // Only this thread adds input, so what there was room for fits, unless the guest's loopback traffic takes the room.
    const auto size = static_cast<std::size_t>(count);
    if (serial_.put_input(std::span(bytes).first(size)) < size) {
      serial_.metrics().error_count.add();
    }
    return;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (count < 0) {
    serial_.metrics().error_count.add();
    WISP_LOG(Warn, "serial console: cannot read the input (os error %d); going on without it", errno);
  }
  stop_watching(State::Ended);
}

void SerialInput::resume() {
  serial_.room_event().drain();
  if (state_ != State::WaitingForRoom) {
    return;
  }
  if (!loop_.watch(input_, Interest::Readable, on_input_).ok()) {
    serial_.metrics().error_count.add();
    state_ = State::Ended;
    return;
  }
  state_ = State::Watching;
}

}  // namespace wisp
