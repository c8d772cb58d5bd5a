// VsockMux: all connections of one device, between packets on the guest's side and Unix sockets on the host's.
//
//   mux->from_guest(packet);                              // while takes_packets()
//   std::uint32_t bytes = mux->next_packet(writer);       // while has_work(): one packet into one receive buffer
//
// It is the device's backend: it knows connections, credit and time, and neither queues nor interrupts.
//
// Host sockets are watched edge-triggered in an epoll instance of its own. A socket that became readable is remembered
// as such, and is read only when the guest has posted a buffer and has given credit; so a slow guest leaves the bytes
// in the host's socket, and a peer that is gone causes no event storm. Connections with something for the guest stand
// in a line and get one packet each in turn.
//
// Resets that belong to no connection wait in a ring of kMaxOrphanResets. When it is full the device takes no packets
// from the guest until the guest has taken resets: back-pressure, not growth.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "virtio/vsock/connection_table.h"
#include "virtio/vsock/listener.h"
#include "virtio/vsock/metrics.h"
#include "vmm/base/clock.h"
#include "vmm/config/vsock.h"
#include "vmm/events/event_loop.h"
#include "vmm/events/one_shot_timer.h"

namespace wisp {

/// Host ports of connections that host programs ask for: [first, end), in turn.
inline constexpr std::uint32_t kFirstHostPort = 1U << 30U;
inline constexpr std::uint32_t kEndHostPort = 1U << 31U;
/// The guest must answer a request, and a shutdown, within this.
inline constexpr std::uint64_t kRequestTimeoutMs = 2000;
inline constexpr std::uint64_t kShutdownTimeoutMs = 2000;
/// A host program must say CONNECT within this.
inline constexpr std::uint64_t kGreetingTimeoutMs = 60'000;
/// A host program may stand still for this long while it still has bytes to take of a connection that the guest ended.
inline constexpr std::uint64_t kDrainTimeoutMs = 30'000;
/// How long accept() rests when the process has no descriptors left.
inline constexpr std::uint64_t kAcceptRetryMs = 500;
inline constexpr std::size_t kMaxOrphanResets = 128;
/// Clients accepted, and events handled, before the loop serves others.
inline constexpr int kMaxAcceptsPerTurn = 16;
inline constexpr int kMaxVsockEventsPerTurn = 64;

/// The guest's side, as the mux sees it.
class VsockGuest {
 public:
  virtual ~VsockGuest() = default;
  /// has_work() may have become true through something that happened on the host.
  virtual void on_work() = 0;
};

class VsockMux final : private EventHandler {
 private:
  struct PrivateTag {};

 public:
  static Result<std::unique_ptr<VsockMux>> create(const VsockConfig& config, VsockListener listener, EventLoop& loop,
                                                  const Clock& clock, VsockMetrics& metrics, VsockGuest& guest);
  VsockMux(PrivateTag tag, std::uint32_t guest_cid, VsockListener listener, EventLoop& loop, const Clock& clock,
           VsockMetrics& metrics, VsockGuest& guest);
  ~VsockMux() override;

  /// Opens the door to host programs. Fails when the host refuses to watch the sockets.
  Status start();
  /// Ends every connection and closes the door.
  void stop();
  /// Time stands still and no event is handled until resume().
  void pause();
  void resume();

  bool takes_packets() const { return reset_count_ < kMaxOrphanResets; }
  void from_guest(const VsockPacket& packet);
  bool has_work() const { return reset_count_ > 0 || !table_.line_empty(); }
  /// Writes one packet into `target`, which holds a header at least; 0 when nobody had anything after all.
  std::uint32_t next_packet(ChainWriter target);
  /// Handles what is due. Called by itself in time; a call too many is cheap.
  void expire();

  std::uint32_t next_host_port() const { return next_host_port_; }
  void set_next_host_port(std::uint32_t port) { next_host_port_ = port; }
  std::size_t connection_count() const { return connection_count_; }
  FdRef events() const { return epoll_.ref(); }

 private:
  struct Reset {
    std::uint64_t to_cid = 0;
    std::uint64_t from_cid = 0;
    std::uint32_t to_port = 0;
    std::uint32_t from_port = 0;
    std::uint16_t type = 0;
  };
  enum class Door : std::uint8_t { Closed, Open, Resting };

  void on_event(std::uint32_t events) override;

  // Host side (mux_host.cpp).
  void accept_clients();
  void admit(Fd socket);
  void set_door(Door door);
  bool watch(std::uint16_t slot);
  void set_interest(std::uint16_t slot, std::uint32_t events, int operation);
  void on_host_event(std::uint16_t slot, std::uint32_t events);
  void read_greeting(std::uint16_t slot, std::uint32_t events);
  void request_guest(std::uint16_t slot, std::uint32_t guest_port);
  void flush(std::uint16_t slot);
  void after_flush(std::uint16_t slot);
  void host_is_gone(std::uint16_t slot);
  void update_host_shutdown(std::uint16_t slot);

  // Guest side (mux_guest.cpp).
  void refuse(const VsockHeader& header);
  void open_from_guest(const VsockHeader& header);
  void on_requested(std::uint16_t slot, VsockOp op);
  void on_established(std::uint16_t slot, const VsockPacket& packet);
  void on_data(std::uint16_t slot, const VsockPacket& packet);
  void on_shutdown(std::uint16_t slot, std::uint32_t flags);
  void on_guest_gone(std::uint16_t slot);
  std::uint32_t produce(std::uint16_t slot, ChainWriter& target);
  std::uint32_t produce_data(std::uint16_t slot, ChainWriter& target);
  std::uint32_t emit(VsockConnection& connection, ChainWriter& target, VsockOp op, std::uint32_t flags,
                     std::uint32_t length);
  std::uint32_t emit_reset(ChainWriter& target);

  // Life and time (mux.cpp).
  std::uint16_t open(ConnectionState state);
  void close(std::uint16_t slot);
  void reset(std::uint16_t slot);
  void drain(std::uint16_t slot);
  void note_work(std::uint16_t slot);
  void set_deadline(std::uint16_t slot, std::uint64_t delay_ms);
  void arm(std::uint64_t deadline_ns);
  void on_deadline(std::uint16_t slot);
  void push_reset(const Reset& reset);

  std::uint32_t guest_cid_;
  VsockListener listener_;
  EventLoop* loop_;
  const Clock* clock_;
  VsockMetrics* metrics_;
  VsockGuest* guest_;
  Fd epoll_;
  std::unique_ptr<OneShotTimer> timer_;
  std::unique_ptr<TxBufferPool> pool_;
  ConnectionTable table_;
  std::array<Reset, kMaxOrphanResets> resets_;
  std::size_t reset_first_ = 0;
  std::size_t reset_count_ = 0;
  std::size_t connection_count_ = 0;  // slots in use that are not Greeting
  std::size_t greeting_count_ = 0;
  std::uint32_t next_host_port_ = kFirstHostPort;
  Door door_ = Door::Closed;
  bool watched_ = false;
  std::uint64_t door_deadline_ns_ = 0;  // Resting: when it opens again
  std::uint64_t next_deadline_ns_ = 0;  // no deadline is earlier; 0: there is none
  std::uint64_t paused_at_ns_ = 0;
};

}  // namespace wisp
