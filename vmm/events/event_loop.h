// EventLoop: one thread that waits on descriptors, timers and one mailbox, and runs handlers.
//
//   loop.watch(fd.ref(), Interest::Readable, handler);   // handler: EventHandler&, outlives the watch
//   loop.run();                                          // until stop()
//   // from another thread:
//   loop.post([&] { device.activate(); });
//
// Rules: watch, unwatch, timers and run() belong to the loop's own thread; post() and stop() may be called from any.
// A handler works in bounded batches and returns; it never blocks. Events are level-triggered, so a handler that left
// work behind is called again after the others had their turn.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "vmm/events/event_fd.h"

namespace wisp {

class EventHandler {
 public:
  virtual ~EventHandler() = default;
  /// `events` is the EPOLL* mask that is ready.
  virtual void on_event(std::uint32_t events) = 0;
};

/// What a watch waits for.
enum class Interest : std::uint32_t {
  Readable = EPOLLIN,
  ReadableEdge = EPOLLIN | EPOLLET,
  BothEdge = EPOLLIN | EPOLLOUT | EPOLLET,
  PeerGone = EPOLLRDHUP,  ///< not data, only that the other end of a socket has closed
};

class EventLoop {
 public:
  using Task = std::function<void()>;

  static Result<std::unique_ptr<EventLoop>> create();

  /// Registers `handler` for `fd`; fails when the kernel cannot watch it (a regular file, say).
  Status watch(FdRef fd, Interest interest, EventHandler& handler);
  /// Stops watching; events of `handler` that were fetched but not yet run are dropped.
  void unwatch(FdRef fd, EventHandler& handler);

  /// Runs `task` on the loop's thread, after the tasks posted before it. Never blocks on the loop's work.
  void post(Task task);

  /// Dispatches until stop(); what was posted before the stop is done first.
  void run();
  /// Waits at most `timeout_ms` (-1: for ever) and dispatches one batch; for tests and for run().
  void run_once(int timeout_ms);
  void stop();

 private:
  struct PrivateTag {};

 public:
  EventLoop(PrivateTag tag, Fd epoll, EventFd mailbox_signal);

 private:
  class Mailbox final : public EventHandler {
   public:
    explicit Mailbox(EventFd signal) : signal_(std::move(signal)) {}
    void post(Task task);
    void on_event(std::uint32_t events) override;
    FdRef ref() const { return signal_.ref(); }

   private:
    EventFd signal_;
    std::mutex mutex_;  // leaf lock: nothing is called while it is held
    std::vector<Task> tasks_;
    std::vector<Task> running_;
  };

  static constexpr int kMaxEventsPerWait = 32;

  Fd epoll_;
  Mailbox mailbox_;
  std::atomic<bool> stopped_ = false;
  epoll_event ready_[kMaxEventsPerWait] = {};
  int ready_count_ = 0;
};

}  // namespace wisp
