#include "vmm/events/one_shot_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vmm/base/assert.h"

namespace wisp {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
/// A zero value would disarm the timer; no delay is longer than this.
constexpr std::uint64_t kShortestDelayNs = 1;
constexpr std::uint64_t kLongestDelayNs = std::uint64_t{365} * 24 * 3600 * kNsPerSecond;

void set_time(FdRef fd, std::uint64_t delay_ns) {
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>(delay_ns / kNsPerSecond);
  spec.it_value.tv_nsec = static_cast<long>(delay_ns % kNsPerSecond);
  const int result = ::timerfd_settime(fd.raw(), 0, &spec, nullptr);
  WISP_ASSERT(result == 0);  // the descriptor is ours and the values are in range
}

}  // namespace

Result<std::unique_ptr<OneShotTimer>> OneShotTimer::create(EventLoop& loop, std::function<void()> expired) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!fd.valid()) {
    return Error::host(errno, "cannot create a timer", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  auto timer = std::make_unique<OneShotTimer>(loop, std::move(fd), std::move(expired));
  (void)WISP_TRY(loop.watch(timer->fd_.ref(), Interest::Readable, *timer));
  return timer;
}

void OneShotTimer::arm(std::uint64_t delay_ns) {
  armed_ = true;
  set_time(fd_.ref(), std::clamp(delay_ns, kShortestDelayNs, kLongestDelayNs));
}

void OneShotTimer::disarm() {
  armed_ = false;
  set_time(fd_.ref(), 0);
}

void OneShotTimer::on_event(std::uint32_t /*events*/) {
  std::uint64_t expirations = 0;
  if (::read(fd_.raw(), &expirations, sizeof(expirations)) < 0) {
    return;  // armed anew since the event was fetched
  }
  armed_ = false;
  // A copy: the callback may destroy this timer.
  const auto expired = expired_;
  expired();
}

}  // namespace wisp
