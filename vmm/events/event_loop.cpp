#include "vmm/events/event_loop.h"

#include <cerrno>
#include <utility>

#include "vmm/base/assert.h"

namespace wisp {

void EventLoop::Mailbox::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  signal_.signal();
}

void EventLoop::Mailbox::on_event(std::uint32_t /*events*/) {
  // Drained before the tasks are taken: a post that comes later signals again.
  signal_.drain();
  {
    const std::lock_guard lock(mutex_);
    running_.swap(tasks_);
  }
  for (Task& task : running_) {
    task();
  }
  running_.clear();
}

EventLoop::EventLoop(PrivateTag /*tag*/, Fd epoll, EventFd mailbox_signal)
    : epoll_(std::move(epoll)), mailbox_(std::move(mailbox_signal)) {}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    return Error::host(errno, "cannot create an epoll instance", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  auto loop = std::make_unique<EventLoop>(PrivateTag{}, std::move(epoll), WISP_TRY(EventFd::create()));
  (void)WISP_TRY(loop->watch(loop->mailbox_.ref(), Interest::Readable, loop->mailbox_));
  return loop;
}

Status EventLoop::watch(FdRef fd, Interest interest, EventHandler& handler) {
  epoll_event event{};
  event.events = static_cast<std::uint32_t>(interest);
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_.raw(), EPOLL_CTL_ADD, fd.raw(), &event) != 0) {
    return Error::host(errno, "cannot watch descriptor " + std::to_string(fd.raw()));
  }
  return {};
}

void EventLoop::unwatch(FdRef fd, EventHandler& handler) {
  (void)::epoll_ctl(epoll_.raw(), EPOLL_CTL_DEL, fd.raw(), nullptr);
  for (int index = 0; index < ready_count_; ++index) {
    if (ready_[index].data.ptr == &handler) {
      ready_[index].data.ptr = nullptr;
    }
  }
}

void EventLoop::post(Task task) {
  mailbox_.post(std::move(task));
}

void EventLoop::run() {
  while (!stopped_.load(std::memory_order_acquire)) {
    run_once(-1);
  }
}

void EventLoop::run_once(int timeout_ms) {
  ready_count_ = ::epoll_wait(epoll_.raw(), ready_, kMaxEventsPerWait, timeout_ms);
  WISP_ASSERT(ready_count_ >= 0 || errno == EINTR);
  for (int index = 0; index < ready_count_; ++index) {
    // unwatch() clears the pointer of a handler that another handler of this batch has removed.
    if (auto* handler = static_cast<EventHandler*>(ready_[index].data.ptr); handler != nullptr) {
      handler->on_event(ready_[index].events);
    }
  }
  ready_count_ = 0;
}

// A task like others, so that what was posted before it is done before run() returns.
void EventLoop::stop() {
  mailbox_.post([this] { stopped_.store(true, std::memory_order_release); });
}

}  // namespace wisp
