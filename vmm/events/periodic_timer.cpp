#include "vmm/events/periodic_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

namespace wisp {

Result<std::unique_ptr<PeriodicTimer>> PeriodicTimer::create(EventLoop& loop, std::uint64_t period_ms,
                                                             std::function<void()> tick) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!fd.valid()) {
    return Error::host(errno, "cannot create a timer", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  itimerspec period{};
  period.it_interval.tv_sec = static_cast<time_t>(period_ms / 1000);
  period.it_interval.tv_nsec = static_cast<long>(period_ms % 1000) * 1'000'000;
  period.it_value = period.it_interval;
  if (::timerfd_settime(fd.raw(), 0, &period, nullptr) != 0) {
    return Error::host(errno, "cannot arm a timer");
  }
  auto timer = std::make_unique<PeriodicTimer>(loop, std::move(fd), std::move(tick));
  (void)WISP_TRY(loop.watch(timer->fd_.ref(), Interest::Readable, *timer));
  return timer;
}

void PeriodicTimer::on_event(std::uint32_t /*events*/) {
  std::uint64_t expirations = 0;
  (void)!::read(fd_.raw(), &expirations, sizeof(expirations));
  // A copy: the callback may destroy this timer.
  const auto tick = tick_;
  tick();
}

}  // namespace wisp
