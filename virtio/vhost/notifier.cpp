#include "virtio/vhost/notifier.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "vmm/base/endian.h"
#include "vmm/base/log.h"

namespace wisp {

Result<KickChannel> KickChannel::create() {
  std::array<int, 2> ends = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return Error::host(errno, "cannot create a pair of sockets", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  return KickChannel(Fd(ends[0]), Fd(ends[1]));
}

void KickChannel::kick() const {
  const Le64 one = 1;
  (void)::send(ours_.raw(), &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
}

Result<std::unique_ptr<CallBell>> CallBell::create(EventLoop& loop, const Clock& clock, std::function<void()> on_call) {
  auto bell = std::make_unique<CallBell>(loop, clock, WISP_TRY(EventFd::create()), std::move(on_call));
  CallBell* const raw = bell.get();
  bell->unmute_ = WISP_TRY(OneShotTimer::create(loop, [raw] { raw->end_mute(); }));
  (void)WISP_TRY(loop.watch(bell->ref(), Interest::ReadableEdge, *bell));
  return bell;
}

void CallBell::on_event(std::uint32_t /*events*/) {
  const std::uint64_t now_ns = clock_.now_ns();
  if (now_ns - window_start_ns_ >= kCallWindowNs) {
    window_start_ns_ = now_ns;
    calls_in_window_ = 0;
  }
  if (calls_in_window_ == kMaxCallsPerWindow) {
    loop_.unwatch(event_.ref(), *this);
    unmute_->arm(kCallWindowNs);
    return;
  }
  ++calls_in_window_;
  on_call_();
}

void CallBell::end_mute() {
  window_start_ns_ = clock_.now_ns();
  calls_in_window_ = 0;
  // The counter is above zero since the first call, so this watch begins with an edge: no call is lost.
  if (!loop_.watch(event_.ref(), Interest::ReadableEdge, *this).ok()) {
    WISP_LOG_LIMITED(Error, "vhost-user: cannot watch a back end's interrupts any more");
  }
}

}  // namespace wisp
