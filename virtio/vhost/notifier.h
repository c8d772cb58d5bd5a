// The two notifications of a ring that a vhost-user back end serves. Each is a descriptor that the back end holds, too,
// and that a hostile one may use in any way; none of that can block the loop or make it spin.
//
//   KickChannel   we tell the back end. A pair of sockets, not an eventfd: the file status flags of an eventfd are one
//                 for all who hold it, so a back end could clear O_NONBLOCK, fill the counter, and our next write would
//                 never return. Of a pair each end has its own. The back end reads eight bytes, as from an eventfd.
//   CallBell      the back end tells us. An eventfd, watched for edges and never read or written here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/events/event_fd.h"
#include "vmm/events/event_loop.h"
#include "vmm/events/one_shot_timer.h"

namespace wisp {

/// Calls beyond this many in a window wait for its end and become one: a flood costs a fraction of the loop.
inline constexpr std::uint64_t kMaxCallsPerWindow = 100;
inline constexpr std::uint64_t kCallWindowNs = 1'000'000;

class KickChannel {
 public:
  static Result<KickChannel> create();
  /// Never blocks. A back end that does not read has been told already.
  void kick() const;
  FdRef backend_end() const { return theirs_.ref(); }

 private:
  KickChannel(Fd ours, Fd theirs) : ours_(std::move(ours)), theirs_(std::move(theirs)) {}
  Fd ours_;
  Fd theirs_;
};

class CallBell final : public EventHandler {
 public:
  /// `on_call` runs on the loop.
  static Result<std::unique_ptr<CallBell>> create(EventLoop& loop, const Clock& clock, std::function<void()> on_call);
  CallBell(EventLoop& loop, const Clock& clock, EventFd event, std::function<void()> on_call)
      : loop_(loop), clock_(clock), event_(std::move(event)), on_call_(std::move(on_call)) {}
  ~CallBell() override { loop_.unwatch(event_.ref(), *this); }

  FdRef ref() const { return event_.ref(); }
  void on_event(std::uint32_t events) override;

 private:
  void end_mute();

  EventLoop& loop_;
  const Clock& clock_;
  EventFd event_;
  std::function<void()> on_call_;
  std::unique_ptr<OneShotTimer> unmute_;
  std::uint64_t window_start_ns_ = 0;
  std::uint64_t calls_in_window_ = 0;
};

}  // namespace wisp
