// VsockConnection: one stream between a guest port and a host program, and its credit (virtio 1.2 section 5.10.6.3).
//
//   Greeting ----CONNECT----> Requested ----RESPONSE----> Established <----REQUEST---- (guest)
//      |                         |  refused, 2 s             |  shutdown, reset, fault
//      v                         v                           v
//    (free)                   (free)     Resetting (a RST is owed) or Draining (only the host side is left) -> (free)
//
//   Greeting     a host program is connected and has not said CONNECT yet
//   Requested    the guest was asked; the table knows the ports from here on
//   Established  bytes flow
//   Resetting    the host side is closed, the ports are free again, the guest is owed a RST
//   Draining     the guest side is gone; bytes that the guest had sent still go to the host program
//
// Credit: each side may have as many bytes under way as the other has room for. All counters are free-running 32-bit
// numbers that wrap; only differences mean something, and a guest that forges them can only stop its own stream.
#pragma once

#include <cstdint>

#include "virtio/vsock/packet.h"
#include "virtio/vsock/stream.h"
#include "virtio/vsock/tx_buffer.h"

namespace wisp {

struct VsockPorts {
  std::uint32_t guest = 0;
  std::uint32_t host = 0;
  friend bool operator==(const VsockPorts&, const VsockPorts&) = default;
};

enum class ConnectionState : std::uint8_t { Free, Greeting, Requested, Established, Resetting, Draining };

/// Control packets that the guest is owed.
namespace owed {
inline constexpr std::uint8_t kRequest = 1;
inline constexpr std::uint8_t kResponse = 2;
inline constexpr std::uint8_t kShutdown = 4;
inline constexpr std::uint8_t kCreditUpdate = 8;
}  // namespace owed

inline constexpr std::uint16_t kNoSlot = UINT16_MAX;

struct VsockConnection {
  /// The guest is told about freed room when it sees less than this, ...
  static constexpr std::uint32_t kCreditUpdateBelowBytes = kVsockBufferBytes / 2;
  /// ... and at least this much was freed (or all of it), so that a slow reader does not cause a packet per byte.
  static constexpr std::uint32_t kCreditStepBytes = 4U << 10U;

  /// Bytes that the guest has room for.
  std::uint32_t guest_room_bytes() const {
    const std::uint32_t under_way = sent_bytes - guest_forwarded_bytes;
    return under_way < guest_buffer_bytes ? guest_buffer_bytes - under_way : 0;
  }
  void take_credit(const VsockHeader& header) {
    guest_buffer_bytes = header.buf_alloc;
    guest_forwarded_bytes = header.fwd_cnt;
    credit_asked = credit_asked && guest_room_bytes() == 0;
  }
  /// Decides whether the guest must hear of freed room.
  void note_freed_room() {
    const std::uint32_t untold = forwarded_bytes - told_forwarded_bytes;
    const std::uint32_t seen_room = kVsockBufferBytes - (received_bytes - told_forwarded_bytes);
    if (seen_room < kCreditUpdateBelowBytes && untold > 0 && (untold >= kCreditStepBytes || buffer.empty())) {
      owed_packets |= owed::kCreditUpdate;
    }
  }
  bool guest_finished_sending() const { return (guest_shutdown & vsock_shutdown::kSend) != 0; }
  bool may_read_host() const {
    return state == ConnectionState::Established && readable && !host_ended &&
           (guest_shutdown & vsock_shutdown::kReceive) == 0;
  }
  /// Whether the guest has something to get.
  bool wants_receive_buffer() const {
    switch (state) {
      case ConnectionState::Resetting: return true;
      case ConnectionState::Requested: return owed_packets != 0;
      case ConnectionState::Established:
        return owed_packets != 0 || (may_read_host() && (guest_room_bytes() > 0 || !credit_asked));
      default: return false;
    }
  }

  VsockStream stream;
  TxBuffer buffer;  // from the guest, not yet taken by the host program
  VsockPorts ports;
  ConnectionState state = ConnectionState::Free;
  std::uint8_t owed_packets = 0;
  std::uint8_t guest_shutdown = 0;  // what the guest has said (vsock_shutdown)
  std::uint8_t host_shutdown = 0;   // what the guest has been told or is owed
  bool readable = false;            // an event said so, and no read has found nothing since
  bool host_ended = false;          // the host program's last byte was read
  bool host_gone = false;           // the host program takes no bytes any more
  bool credit_asked = false;        // and no room has come since
  bool request_sent = false;
  bool told_both = false;  // a shutdown in both directions was sent; a RST should come back
  bool waits_for_write = false;

  std::uint32_t received_bytes = 0;  // from the guest
  std::uint32_t forwarded_bytes = 0;
  std::uint32_t told_forwarded_bytes = 0;
  std::uint32_t sent_bytes = 0;  // to the guest
  std::uint32_t guest_buffer_bytes = 0;
  std::uint32_t guest_forwarded_bytes = 0;

  std::uint64_t deadline_ns = 0;  // 0: none
};

}  // namespace wisp
