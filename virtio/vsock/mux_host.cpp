// The host's side of VsockMux: clients, events of sockets, bytes that wait for a host program.
#include <cerrno>
#include <utility>

#include "virtio/vsock/connect_line.h"
#include "virtio/vsock/mux.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kListenerTag = UINT64_MAX;
constexpr std::uint32_t kReadInterest = EPOLLIN | EPOLLRDHUP | EPOLLET;
constexpr unsigned kGenerationShift = 32;

}  // namespace

void VsockMux::on_event(std::uint32_t /*events*/) {
  expire();
  std::array<epoll_event, kMaxVsockEventsPerTurn> ready;
  const int count = ::epoll_wait(epoll_.raw(), ready.data(), kMaxVsockEventsPerTurn, 0);
  for (int index = 0; index < count; ++index) {
    const epoll_event& event = ready[static_cast<std::size_t>(index)];
    if (event.data.u64 == kListenerTag) {
      accept_clients();
      continue;
    }
    const auto slot = static_cast<std::uint16_t>(event.data.u64);
    // The connection may have ended by what an earlier event of this batch did.
    if (table_.generation(slot) == event.data.u64 >> kGenerationShift) {
      on_host_event(slot, event.events);
    }
  }
  guest_->on_work();
}

void VsockMux::set_door(Door door) {
  const bool was_open = door_ == Door::Open;
  door_ = door;
  door_deadline_ns_ = 0;
  if ((door == Door::Open) == was_open) {
    return;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListenerTag;
  (void)::epoll_ctl(epoll_.raw(), was_open ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, listener_.ref().raw(), &event);
}

void VsockMux::accept_clients() {
  for (int round = 0; round < kMaxAcceptsPerTurn; ++round) {
    Fd socket = listener_.accept();
    if (socket.valid()) {
      admit(std::move(socket));
      continue;
    }
    const bool nobody = errno == EAGAIN || errno == EWOULDBLOCK;
    if (!nobody && errno != ECONNABORTED && errno != EINTR) {
      // Out of descriptors or memory: the client stays in the backlog, and asking at once would spin.
      metrics_->muxer_event_fails.add();
      WISP_LOG_LIMITED(Error, "vsock: cannot accept a client: errno %d", errno);
      set_door(Door::Resting);
      door_deadline_ns_ = clock_->now_ns() + kAcceptRetryMs * kNsPerMs;
      arm(door_deadline_ns_);
      return;
    }
    if (nobody) {
      return;
    }
  }
}

void VsockMux::admit(Fd socket) {
  if (greeting_count_ == kMaxPendingClients) {
    std::uint16_t oldest = kNoSlot;
    table_.for_each([&](std::uint16_t slot, const VsockConnection& each) {
      const bool greeting = each.state == ConnectionState::Greeting;
      if (greeting && (oldest == kNoSlot || each.deadline_ns < table_.at(oldest).deadline_ns)) {
        oldest = slot;
      }
    });
    close(oldest);
  }
  const std::uint16_t slot = open(ConnectionState::Greeting);
  if (slot == kNoSlot) {
    return;  // every slot is taken: the client sees its socket closed
  }
  table_.at(slot).stream = VsockStream(std::move(socket));
  if (!watch(slot)) {
    return close(slot);
  }
  set_deadline(slot, kGreetingTimeoutMs);
}

bool VsockMux::watch(std::uint16_t slot) {
  epoll_event event{};
  event.events = kReadInterest;
  event.data.u64 = (std::uint64_t{table_.generation(slot)} << kGenerationShift) | slot;
  if (::epoll_ctl(epoll_.raw(), EPOLL_CTL_ADD, table_.at(slot).stream.ref().raw(), &event) == 0) {
    return true;
  }
  metrics_->muxer_event_fails.add();
  return false;
}

void VsockMux::set_interest(std::uint16_t slot, std::uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = (std::uint64_t{table_.generation(slot)} << kGenerationShift) | slot;
  if (::epoll_ctl(epoll_.raw(), operation, table_.at(slot).stream.ref().raw(), &event) != 0) {
    metrics_->muxer_event_fails.add();
  }
}

void VsockMux::on_host_event(std::uint16_t slot, std::uint32_t events) {
  VsockConnection& connection = table_.at(slot);
  const bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
  connection.readable = connection.readable || (events & (EPOLLIN | EPOLLRDHUP)) != 0 || hung_up;
  switch (connection.state) {
    case ConnectionState::Greeting: return read_greeting(slot, events);
    case ConnectionState::Requested:
      // Its bytes, if any, are still delivered when the guest accepts.
      connection.host_gone = connection.host_gone || hung_up;
      return;
    case ConnectionState::Established:
      if (hung_up) {
        host_is_gone(slot);
      } else if ((events & EPOLLOUT) != 0) {
        flush(slot);
      }
      return note_work(slot);
    case ConnectionState::Draining:
      if (hung_up) {
        return close(slot);
      }
      return (events & EPOLLOUT) != 0 ? flush(slot) : void();
    default: return;
  }
}

void VsockMux::read_greeting(std::uint16_t slot, std::uint32_t events) {
  VsockConnection& connection = table_.at(slot);
  std::array<char, kMaxConnectLineBytes> bytes;
  const StreamIo seen = connection.stream.peek(bytes);
  if (seen.result == StreamResult::WouldBlock) {
    return;
  }
  const ConnectLine line = parse_connect_line(std::span(bytes).first(seen.moved_bytes));
  if (line.state == ConnectLineState::Complete) {
    connection.stream.discard(line.length_bytes);
    connection.host_gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
    return request_guest(slot, line.port);
  }
  // The line stays in the socket until it is complete; nothing more comes from a client that has hung up.
  const bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 || seen.result != StreamResult::Moved;
  if (ended || line.state == ConnectLineState::Malformed) {
    close(slot);
  }
}

void VsockMux::request_guest(std::uint16_t slot, std::uint32_t guest_port) {
  if (connection_count_ == kMaxVsockConnections) {
    WISP_LOG_LIMITED(Warn, "vsock: refused a client: %zu connections are open", connection_count_);
    return close(slot);
  }
  do {
    next_host_port_ = next_host_port_ + 1 == kEndHostPort ? kFirstHostPort : next_host_port_ + 1;
  } while (table_.host_port_in_use(next_host_port_));
  VsockConnection& connection = table_.at(slot);
  --greeting_count_;
  ++connection_count_;
  metrics_->conns_added.add();
  connection.state = ConnectionState::Requested;
  connection.ports = {guest_port, next_host_port_};
  connection.owed_packets = owed::kRequest;
  table_.insert(slot);
  set_deadline(slot, kRequestTimeoutMs);
  note_work(slot);
}

void VsockMux::flush(std::uint16_t slot) {
  VsockConnection& connection = table_.at(slot);
  StreamIo io{StreamResult::Moved};
  while (!connection.buffer.empty() && io.result == StreamResult::Moved) {
    std::array<iovec, 2> place;
    io = connection.stream.write_parts(connection.buffer.parts(*pool_, place));
    connection.buffer.consume(*pool_, io.moved_bytes);
    connection.forwarded_bytes += io.moved_bytes;
  }
  if (io.result == StreamResult::Failed) {
    metrics_->tx_flush_fails.add();
    return connection.state == ConnectionState::Draining ? close(slot) : host_is_gone(slot);
  }
  if (connection.state == ConnectionState::Draining && !connection.buffer.empty()) {
    set_deadline(slot, kDrainTimeoutMs);  // it moves
  }
  after_flush(slot);
}

void VsockMux::after_flush(std::uint16_t slot) {
  VsockConnection& connection = table_.at(slot);
  connection.note_freed_room();
  const bool waits = !connection.buffer.empty();
  if (waits != connection.waits_for_write) {
    connection.waits_for_write = waits;
    set_interest(slot, waits ? kReadInterest | EPOLLOUT : kReadInterest, EPOLL_CTL_MOD);
  }
  if (!waits && connection.state == ConnectionState::Draining) {
    return close(slot);
  }
  if (!waits && connection.guest_shutdown == vsock_shutdown::kBoth) {
    return reset(slot);  // section 5.10.6.5: the answer to a shutdown in both directions
  }
  if (!waits && connection.guest_finished_sending()) {
    connection.stream.shutdown_write();
    update_host_shutdown(slot);
  }
  note_work(slot);
}

void VsockMux::host_is_gone(std::uint16_t slot) {
  VsockConnection& connection = table_.at(slot);
  connection.host_gone = true;
  connection.readable = true;  // a last read finds the end
  connection.forwarded_bytes += connection.buffer.size_bytes();
  connection.buffer.clear(*pool_);
  update_host_shutdown(slot);
  after_flush(slot);
}

void VsockMux::update_host_shutdown(std::uint16_t slot) {
  VsockConnection& connection = table_.at(slot);
  const bool guest_deaf = (connection.guest_shutdown & vsock_shutdown::kReceive) != 0;
  const bool ended = connection.host_ended || (connection.host_gone && guest_deaf);
  const bool guest_done = connection.guest_finished_sending() && connection.buffer.empty();
  std::uint8_t flags = ended ? vsock_shutdown::kSend : std::uint8_t{0};
  if (connection.host_gone || (ended && guest_done)) {
    flags |= vsock_shutdown::kReceive;
  }
  if ((flags & ~connection.host_shutdown) != 0) {
    connection.host_shutdown |= flags;
    connection.owed_packets |= owed::kShutdown;
    note_work(slot);
  }
}

}  // namespace wisp
