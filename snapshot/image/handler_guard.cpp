#include "snapshot/image/handler_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>

#include "vmm/base/assert.h"

namespace wisp {
namespace {

/// The callback logs; nothing here recurses.
constexpr std::size_t kStackBytes = 128 * 1024;
constexpr std::size_t kMaxFdInfoBytes = 512;
constexpr std::string_view kTotalField = "total:\t";

}  // namespace

HandlerGuard::HandlerGuard(PrivateTag /*tag*/, const UserfaultMemory& source, EventLoop& loop,
                           HandlerGuardOptions options, EventFd end_signal, Fd waiter_count)
    : socket_(source.handler_socket()),
      userfault_(source.userfault()),
      loop_(loop),
      options_(std::move(options)),
      end_signal_(std::move(end_signal)),
      waiter_count_(std::move(waiter_count)),
      answered_(std::make_shared<std::atomic<bool>>(false)) {}

Result<std::unique_ptr<HandlerGuard>> HandlerGuard::create(const UserfaultMemory& source, EventLoop& loop,
                                                           HandlerGuardOptions options) {
  WISP_ASSERT(options.loop_is_stuck != nullptr && options.period_ms > 0);
  EventFd end_signal = WISP_TRY(EventFd::create());
  const std::string info = "/proc/self/fdinfo/" + std::to_string(source.userfault().raw());
  Fd waiter_count(::open(info.c_str(), O_RDONLY | O_CLOEXEC));
  auto guard = std::make_unique<HandlerGuard>(PrivateTag{}, source, loop, std::move(options), std::move(end_signal),
                                              std::move(waiter_count));
  (void)WISP_TRY(guard->start());
  return guard;
}

Status HandlerGuard::start() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  (void)::pthread_attr_setstacksize(&attributes, kStackBytes);
  const auto entry = [](void* self) -> void* {
    static_cast<HandlerGuard*>(self)->thread_main();
    return nullptr;
  };
  // The thread inherits the mask. Signals are for threads that know what to do with them.
  sigset_t all;
  sigset_t former;
  ::sigfillset(&all);
  (void)::pthread_sigmask(SIG_SETMASK, &all, &former);
  const int failure = ::pthread_create(&thread_, &attributes, entry, this);
  (void)::pthread_sigmask(SIG_SETMASK, &former, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (failure != 0) {
    return Error::host(failure, "cannot start the thread that watches the page fault handler",
                       "Raise the limit on processes (RLIMIT_NPROC, pids cgroup)");
  }
  started_ = true;
  return {};
}

HandlerGuard::~HandlerGuard() {
  if (started_) {
    end_signal_.signal();
    ::pthread_join(thread_, nullptr);
  }
}

void HandlerGuard::thread_main() {
  (void)::pthread_setname_np(::pthread_self(), "wisp_guard");
  if (options_.confine) {
    options_.confine();
  }
  for (Look look = wait(); look != Look::End; look = wait()) {
    if (look == Look::HungUp) {
      gone_ = true;
      silent_ms_ = 0;
      continue;
    }
    silent_ms_ = loop_is_silent() ? silent_ms_ + options_.period_ms : 0;
    if (silent_ms_ >= (gone_ ? options_.gone_limit_ms : options_.stall_limit_ms)) {
      options_.loop_is_stuck(gone_ ? HandlerLoss::Gone : HandlerLoss::Stalled);
      return;
    }
  }
}

HandlerGuard::Look HandlerGuard::wait() const {
  std::array<pollfd, 2> wanted = {pollfd{.fd = end_signal_.ref().raw(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = gone_ ? -1 : socket_.raw(), .events = POLLRDHUP, .revents = 0}};
  (void)::poll(wanted.data(), wanted.size(), static_cast<int>(options_.period_ms));
  if (wanted[0].revents != 0) {
    return Look::End;
  }
  return wanted[1].revents != 0 ? Look::HungUp : Look::Periodic;
}

/// One look. The first of a series only asks; the loop has a period to answer.
bool HandlerGuard::loop_is_silent() {
  const bool came = page_has_come();
  if (!somebody_waits()) {
    return false;
  }
  if (asked_ && !answered_->load(std::memory_order_acquire)) {
    return gone_ || !came;
  }
  asked_ = true;
  answered_->store(false, std::memory_order_release);
  loop_.post([answered = answered_] { answered->store(true, std::memory_order_release); });
  return false;
}

bool HandlerGuard::somebody_waits() const {
  // Unread messages: faults, and the events that a discard waits with.
  pollfd unread{.fd = userfault_.raw(), .events = POLLIN, .revents = 0};
  if (::poll(&unread, 1, 0) > 0) {
    return true;
  }
  // Faults that were read and not resolved. Only the kernel's account of the descriptor shows them.
  std::array<char, kMaxFdInfoBytes> buffer;
  const ssize_t got = waiter_count_.valid() ? ::pread(waiter_count_.raw(), buffer.data(), buffer.size(), 0) : 0;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  const std::size_t field = text.find(kTotalField);
  if (field == std::string_view::npos) {
    return false;
  }
  std::uint64_t total = 0;
  (void)std::from_chars(text.data() + field + kTotalField.size(), text.data() + text.size(), total);
  return total > 0;
}

/// Every page that arrives completes a fault of one of this process's threads.
bool HandlerGuard::page_has_come() {
  rusage usage{};
  (void)::getrusage(RUSAGE_SELF, &usage);
  return std::exchange(fault_count_, usage.ru_minflt + usage.ru_majflt) != usage.ru_minflt + usage.ru_majflt;
}

}  // namespace wisp
