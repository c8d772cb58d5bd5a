// HandlerGuard: sees that the event loop waits for a page that nobody will bring.
//
//   auto guard = WISP_TRY(HandlerGuard::create(source, loop, {.confine = ..., .loop_is_stuck = end_the_process}));
//   // ... the machine lives; the guard ends after its vCPUs, `source` after the guard
//
// The loop touches guest memory and discards it. With a userfault handler (userfault.h) both can wait in the kernel,
// and for ever when the handler is dead or does not do its work; what should notice that on the loop is then stuck with
// it. The guard is a thread that does nothing but look, once a period:
//
//   is anybody waiting for the handler?     no: nothing to do, and the loop is left asleep
//   has the loop run the task we posted?    yes: it is not the one that waits; post another
//   has any page come since the last look?  yes: the handler is slow, not stalled (not asked when it is gone)
//
// A loop that is silent through all of this for `gone_limit_ms` (the handler has hung up) or `stall_limit_ms` (it has
// not) is stuck. vCPUs that wait do not matter to the guard: the loop is awake, and answers, pauses and ends the
// machine.
//
// The thread makes these system calls: poll, pread, read, write, getrusage, futex, clock_gettime, exit; never one that
// touches guest memory. Every signal is blocked in it.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "snapshot/image/userfault.h"
#include "vmm/events/event_fd.h"

namespace wisp {

enum class HandlerLoss {
  Gone,     ///< it has hung up
  Stalled,  ///< it is there, and does not bring pages or take events
};

struct HandlerGuardOptions {
  std::uint32_t period_ms = 1000;
  std::uint32_t gone_limit_ms = 2000;
  std::uint32_t stall_limit_ms = 60'000;
  /// The first thing in the guard's thread; may be empty.
  std::function<void()> confine = {};
  /// At most once, in the guard's thread. Nothing here may touch guest memory or wait for the loop; ending the process
  /// (log, then _exit) is what is safe.
  std::function<void(HandlerLoss)> loop_is_stuck = {};
};

class HandlerGuard {
 public:
  /// `source` and `loop` outlive the guard.
  static Result<std::unique_ptr<HandlerGuard>> create(const UserfaultMemory& source, EventLoop& loop,
                                                      HandlerGuardOptions options);
  /// Waits until the thread has ended: at most for a loop_is_stuck that is running.
  ~HandlerGuard();
  HandlerGuard(const HandlerGuard&) = delete;
  HandlerGuard& operator=(const HandlerGuard&) = delete;

 private:
  struct PrivateTag {};
  enum class Look { End, HungUp, Periodic };

 public:
  HandlerGuard(PrivateTag tag, const UserfaultMemory& source, EventLoop& loop, HandlerGuardOptions options,
               EventFd end_signal, Fd waiter_count);

 private:
  Status start();
  void thread_main();
  Look wait() const;
  bool loop_is_silent();
  bool somebody_waits() const;
  bool page_has_come();

  FdRef socket_;
  FdRef userfault_;
  EventLoop& loop_;
  HandlerGuardOptions options_;
  EventFd end_signal_;
  Fd waiter_count_;  // /proc/self/fdinfo of the userfaultfd; absent where /proc is absent
  bool gone_ = false;
  bool asked_ = false;
  std::uint32_t silent_ms_ = 0;
  long fault_count_ = 0;
  std::shared_ptr<std::atomic<bool>> answered_;  // the posted task may outlive the guard
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace wisp
