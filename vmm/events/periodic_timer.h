// PeriodicTimer: calls back on the loop's thread every period, until it is destroyed (timerfd). No wake-ups when it
// does not exist.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "vmm/events/event_loop.h"

namespace wisp {

class PeriodicTimer final : public EventHandler {
 public:
  static Result<std::unique_ptr<PeriodicTimer>> create(EventLoop& loop, std::uint64_t period_ms,
                                                       std::function<void()> tick);
  PeriodicTimer(EventLoop& loop, Fd fd, std::function<void()> tick)
      : loop_(loop), fd_(std::move(fd)), tick_(std::move(tick)) {}
  ~PeriodicTimer() override { loop_.unwatch(fd_.ref(), *this); }

  void on_event(std::uint32_t events) override;

 private:
  EventLoop& loop_;
  Fd fd_;
  std::function<void()> tick_;
};

}  // namespace wisp
