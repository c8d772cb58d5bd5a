// OneShotTimer: calls back once on the loop's thread, after a time that is set anew each time (timerfd). A timer that
// is not armed never wakes the process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "vmm/events/event_loop.h"

namespace wisp {

class OneShotTimer final : public EventHandler {
 public:
  static Result<std::unique_ptr<OneShotTimer>> create(EventLoop& loop, std::function<void()> expired);
  OneShotTimer(EventLoop& loop, Fd fd, std::function<void()> expired)
      : loop_(loop), fd_(std::move(fd)), expired_(std::move(expired)) {}
  ~OneShotTimer() override { loop_.unwatch(fd_.ref(), *this); }

  /// Replaces what was armed before. A delay of zero expires at once, but from the loop.
  void arm(std::uint64_t delay_ns);
  void disarm();
  bool armed() const { return armed_; }

  void on_event(std::uint32_t events) override;

 private:
  EventLoop& loop_;
  Fd fd_;
  std::function<void()> expired_;
  bool armed_ = false;
};

}  // namespace wisp
