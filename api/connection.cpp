#include "api/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <string>
#include <utility>

namespace wisp::api {
namespace {

constexpr std::size_t kReceiveChunkBytes = 4096;
constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kNoDeadline = std::numeric_limits<std::uint64_t>::max();

/// Rounded up: a wait must not end before its deadline.
int poll_timeout_ms(std::uint64_t now_ns, std::uint64_t deadline_ns) {
  constexpr std::uint64_t kLongestPollMs = 60'000;
  if (deadline_ns == kNoDeadline) {
    return -1;
  }
  const std::uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
  return static_cast<int>(std::min((left_ns + kNsPerMs - 1) / kNsPerMs, kLongestPollMs));
}

std::string too_many_descriptors() {
  return "The request came with more file descriptors than the " + std::to_string(kMaxRequestDescriptors) +
         " that fit, or than the monitor may hold (RLIMIT_NOFILE). Send fewer.";
}

}  // namespace

void Connection::serve() {
  while (handle(reader_.next()) == Progress::GoOn) {
  }
}

Connection::Progress Connection::handle(const Outcome& outcome) {
  switch (outcome.kind) {
    case OutcomeKind::NeedMore: return receive_more();
    case OutcomeKind::SendContinue: return send_all(continue_response());
    case OutcomeKind::Ready: return answer(outcome.request);
    case OutcomeKind::Refused:
      inbox_.clear();
      return send_all(context_.engine.respond(http_fault(outcome.error), AfterAnswer::KeepOpen));
    case OutcomeKind::Fault: break;
  }
  refuse_and_linger(outcome.error);
  return Progress::End;
}

Connection::Progress Connection::answer(const HttpRequest& request) {
  context_.unanswered_count.fetch_add(1, std::memory_order_acq_rel);
  const Progress progress = send_all(context_.engine.respond(request, context_.responder, inbox_.take()));
  context_.unanswered_count.fetch_sub(1, std::memory_order_acq_rel);
  // What is here of the next request starts its time now, not when the previous one was received.
  request_deadline_ns_ = deadline_after(context_.limits.request_deadline_ms);
  return progress;
}

Connection::Progress Connection::receive_more() {
  switch (receive()) {
    case Received::Bytes: return Progress::GoOn;
    case Received::Ended: return Progress::End;
    case Received::TooManyDescriptors: refuse_and_linger(too_many_descriptors()); return Progress::End;
    case Received::TooLate: break;
  }
  refuse_and_linger("The request was not complete within " + std::to_string(context_.limits.request_deadline_ms) +
                    " ms.");
  return Progress::End;
}

Connection::Received Connection::receive() {
  std::array<char, kReceiveChunkBytes> chunk;  // NOLINT: filled by recv
  const bool was_idle = reader_.is_idle();
  const std::uint64_t deadline_ns = was_idle ? idle_deadline() : request_deadline_ns_;
  if (was_idle) {
    inbox_.clear();  // of bytes that were no part of a request
  }
  while (true) {
    const ssize_t length = inbox_.receive(socket_, chunk);
    if (inbox_.is_over_limit()) {
      inbox_.clear();
      return Received::TooManyDescriptors;
    }
    if (length > 0) {
      if (was_idle) {
        request_deadline_ns_ = deadline_after(context_.limits.request_deadline_ms);
      } else if (context_.clock.now_ns() >= deadline_ns) {
        return Received::TooLate;
      }
      reader_.feed({chunk.data(), static_cast<std::size_t>(length)});
      return Received::Bytes;
    }
    if (length == 0 || (errno != EAGAIN && errno != EINTR)) {
      return Received::Ended;
    }
    if (!wait_for(POLLIN, deadline_ns)) {
      return was_idle ? Received::Ended : Received::TooLate;
    }
  }
}

std::uint64_t Connection::idle_deadline() const {
  const std::uint64_t limit_ms = context_.limits.idle_deadline_ms;
  return limit_ms == 0 ? kNoDeadline : deadline_after(limit_ms);
}

Connection::Progress Connection::send_all(std::string_view bytes) {
  const std::uint64_t deadline_ns = deadline_after(context_.limits.write_deadline_ms);
  while (!bytes.empty()) {
    const ssize_t length = ::send(socket_.raw(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (length > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(length));
      continue;
    }
    if (length < 0 && errno != EAGAIN && errno != EINTR) {
      return Progress::End;
    }
    if (!wait_for(POLLOUT, deadline_ns)) {
      return Progress::End;
    }
  }
  return Progress::GoOn;
}

/// Closing with unread bytes would reset the connection and could take the answer away from a client that is still
/// sending.
void Connection::refuse_and_linger(const std::string& text) {
  if (send_all(context_.engine.respond(http_fault(text), AfterAnswer::Close)) == Progress::End) {
    return;
  }
  ::shutdown(socket_.raw(), SHUT_WR);
  discard_until(deadline_after(context_.limits.linger_ms));
}

void Connection::discard_until(std::uint64_t deadline_ns) {
  std::array<char, kReceiveChunkBytes> chunk;  // NOLINT: never read
  while (context_.clock.now_ns() < deadline_ns) {
    const ssize_t length = ::recv(socket_.raw(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    const bool is_over = length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR);
    if (is_over || (length < 0 && !wait_for(POLLIN, deadline_ns))) {
      return;
    }
  }
}

/// False when the deadline passed. An interrupted or spurious wait is a success; the caller tries again.
bool Connection::wait_for(short events, std::uint64_t deadline_ns) const {
  const std::uint64_t now_ns = context_.clock.now_ns();
  if (now_ns >= deadline_ns) {
    return false;
  }
  pollfd entry{socket_.raw(), events, 0};
  ::poll(&entry, 1, poll_timeout_ms(now_ns, deadline_ns));
  return true;
}

std::uint64_t Connection::deadline_after(std::uint64_t duration_ms) const {
  return context_.clock.now_ns() + duration_ms * kNsPerMs;
}

}  // namespace wisp::api
