#include "virtio/vsock/mux.h"

#include <cerrno>
#include <utility>

#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;

}  // namespace

Result<std::unique_ptr<VsockMux>> VsockMux::create(const VsockConfig& config, VsockListener listener, EventLoop& loop,
                                                   const Clock& clock, VsockMetrics& metrics, VsockGuest& guest) {
  auto mux =
      std::make_unique<VsockMux>(PrivateTag{}, config.guest_cid, std::move(listener), loop, clock, metrics, guest);
  mux->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!mux->epoll_.valid()) {
    return Error::host(errno, "cannot create an epoll instance for the vsock device",
                       "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  mux->pool_ = WISP_TRY(TxBufferPool::create());
  VsockMux* self = mux.get();
  mux->timer_ = WISP_TRY(OneShotTimer::create(loop, [self] {
    self->expire();
    self->guest_->on_work();
  }));
  return mux;
}

VsockMux::VsockMux(PrivateTag /*tag*/, std::uint32_t guest_cid, VsockListener listener, EventLoop& loop,
                   const Clock& clock, VsockMetrics& metrics, VsockGuest& guest)
    : guest_cid_(guest_cid),
      listener_(std::move(listener)),
      loop_(&loop),
      clock_(&clock),
      metrics_(&metrics),
      guest_(&guest) {}

VsockMux::~VsockMux() {
  if (pool_) {
    stop();
  }
}

Status VsockMux::start() {
  if (!watched_) {
    (void)WISP_TRY(loop_->watch(epoll_.ref(), Interest::Readable, *this));
    watched_ = true;
  }
  set_door(Door::Open);
  return {};
}

void VsockMux::stop() {
  table_.for_each([this](std::uint16_t slot, VsockConnection&) { close(slot); });
  reset_count_ = 0;
  set_door(Door::Closed);
  next_deadline_ns_ = 0;
  if (timer_) {
    timer_->disarm();
  }
  if (watched_) {
    loop_->unwatch(epoll_.ref(), *this);
    watched_ = false;
  }
}

// Events stay in the epoll instance meanwhile, also the edge-triggered ones.
void VsockMux::pause() {
  paused_at_ns_ = clock_->now_ns();
  timer_->disarm();
  if (watched_) {
    loop_->unwatch(epoll_.ref(), *this);
    watched_ = false;
  }
}

void VsockMux::resume() {
  const std::uint64_t paused_ns = clock_->now_ns() - paused_at_ns_;
  table_.for_each([paused_ns](std::uint16_t, VsockConnection& connection) {
    connection.deadline_ns += connection.deadline_ns == 0 ? 0 : paused_ns;
  });
  door_deadline_ns_ += door_deadline_ns_ == 0 ? 0 : paused_ns;
  const std::uint64_t next = std::exchange(next_deadline_ns_, 0);
  if (next != 0) {
    arm(next + paused_ns);
  }
  if (const Status started = start(); !started.ok()) {
    metrics_->muxer_event_fails.add();
    WISP_LOG(Error, "vsock: %s", started.error().text().c_str());
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Connections.

std::uint16_t VsockMux::open(ConnectionState state) {
  const std::uint16_t slot = table_.take();
  if (slot != kNoSlot) {
    table_.at(slot).state = state;
    ++(state == ConnectionState::Greeting ? greeting_count_ : connection_count_);
  }
  return slot;
}

void VsockMux::close(std::uint16_t slot) {
  if (table_.at(slot).state == ConnectionState::Greeting) {
    --greeting_count_;
  } else {
    --connection_count_;
    metrics_->conns_removed.add();
  }
  table_.free(slot, *pool_);
}

void VsockMux::reset(std::uint16_t slot) {
  VsockConnection& connection = table_.at(slot);
  metrics_->conns_killed.add();
  table_.forget_ports(slot);
  connection.stream.close();
  connection.buffer.clear(*pool_);
  connection.state = ConnectionState::Resetting;
  connection.owed_packets = 0;
  connection.deadline_ns = 0;
  note_work(slot);
}

void VsockMux::drain(std::uint16_t slot) {
  table_.forget_ports(slot);
  table_.at(slot).state = ConnectionState::Draining;
  set_deadline(slot, kDrainTimeoutMs);
}

void VsockMux::note_work(std::uint16_t slot) {
  if (table_.at(slot).wants_receive_buffer()) {
    table_.enqueue(slot);
  }
}

void VsockMux::push_reset(const Reset& reset) {
  if (reset_count_ < kMaxOrphanResets) {  // always: takes_packets() was asked before each packet
    resets_[(reset_first_ + reset_count_) % kMaxOrphanResets] = reset;
    ++reset_count_;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Time.

void VsockMux::set_deadline(std::uint16_t slot, std::uint64_t delay_ms) {
  const std::uint64_t deadline_ns = clock_->now_ns() + delay_ms * kNsPerMs;
  table_.at(slot).deadline_ns = deadline_ns;
  arm(deadline_ns);
}

void VsockMux::arm(std::uint64_t deadline_ns) {
  if (next_deadline_ns_ != 0 && next_deadline_ns_ <= deadline_ns) {
    return;
  }
  next_deadline_ns_ = deadline_ns;
  const std::uint64_t now_ns = clock_->now_ns();
  timer_->arm(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

void VsockMux::expire() {
  const std::uint64_t now_ns = clock_->now_ns();
  if (next_deadline_ns_ == 0) {
    return;
  }
  if (now_ns < next_deadline_ns_) {
    if (!timer_->armed()) {  // it was early
      timer_->arm(next_deadline_ns_ - now_ns);
    }
    return;
  }
  metrics_->killq_resync.add();
  next_deadline_ns_ = 0;
  if (door_ == Door::Resting && door_deadline_ns_ <= now_ns) {
    set_door(Door::Open);
  } else if (door_ == Door::Resting) {
    arm(door_deadline_ns_);
  }
  table_.for_each([this, now_ns](std::uint16_t slot, VsockConnection& connection) {
    if (connection.deadline_ns == 0) {
      return;
    }
    if (connection.deadline_ns <= now_ns) {
      connection.deadline_ns = 0;
      on_deadline(slot);
    } else {
      arm(connection.deadline_ns);
    }
  });
}

void VsockMux::on_deadline(std::uint16_t slot) {
  VsockConnection& connection = table_.at(slot);
  switch (connection.state) {
    case ConnectionState::Requested:
      if (connection.request_sent) {
        return reset(slot);
      }
      metrics_->conns_killed.add();
      return close(slot);
    case ConnectionState::Established:
      if (connection.guest_shutdown != vsock_shutdown::kBoth || connection.buffer.empty()) {
        return reset(slot);
      }
      // The guest has waited long enough for its reset; the host program may still read what is left.
      if (!takes_packets()) {
        return set_deadline(slot, kShutdownTimeoutMs);
      }
      push_reset({guest_cid_, kHostCid, connection.ports.guest, connection.ports.host, kVsockTypeStream});
      return drain(slot);
    default: return close(slot);
  }
}

}  // namespace wisp
