// TcpConnection: the service's side of one TCP connection (RFC 9293), without a thread, a buffer per segment or a timer
// of its own.
//
//   Free --open()--> SynReceived --ACK--> Established --both sides finished--> Free
//
// Segments go in with receive(); what is to be sent is *computed* when the device has room for it (has_segment(),
// next_segment()), from the sequence numbers and the one answer that the connection holds. So a guest that does not
// read costs nothing but its slot, and a retransmission is the same computation from an earlier sequence number.
//
//   bytes received: a fixed buffer of kRequestBufferBytes; what does not fit is not acknowledged
//   answer to send: shared text, from stream_start_ to stream_end_ in sequence numbers, then FIN when closing
//
//        snd_una_        snd_nxt_           snd_max_            stream_end_
//   ---------|---------------|------------------|--------------------|
//    acked   |  in flight    | sent before, to  |   not sent yet     | FIN
//            |               | be sent again    |
//
// Loss: after kRetransmitTimeoutNs without progress, or three acknowledgements of the same byte, sending starts again
// at snd_una_ (go back N); after kMaxRetransmits time-outs in a row the peer counts as gone. A peer that acknowledges
// but keeps its window shut is probed with single bytes, for kMaxStallNs at most. All comparisons are modulo 2^32.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "virtio/mmds/http_request.h"
#include "virtio/mmds/metadata_service.h"
#include "virtio/mmds/packet.h"

namespace wisp::mmds {

inline constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
inline constexpr std::uint64_t kRetransmitTimeoutNs = kNsPerSecond * 4 / 10;
inline constexpr unsigned kMaxRetransmits = 15;
inline constexpr std::uint64_t kMaxStallNs = 60 * kNsPerSecond;
/// The largest window that is offered: one full segment, so that a guest with segmentation offload never hands over a
/// frame longer than kMaxDetourFrameBytes.
inline constexpr std::size_t kMaxWindowBytes = kMaxMssBytes;

/// left < right, modulo 2^32 (RFC 9293 section 3.4).
constexpr bool sequence_before(std::uint32_t left, std::uint32_t right) {
  return static_cast<std::int32_t>(left - right) < 0;
}

class TcpConnection {
 public:
  /// What becomes of the connection after an event.
  enum class Fate : std::uint8_t {
    Keep,
    Forget,  ///< it is over
    Reset,   ///< it is over, and the peer is to be told by RST
  };

  bool is_free() const { return state_ == State::Free; }
  bool is_peer(const Ipv4Address& address, std::uint16_t port) const {
    return !is_free() && peer_address_ == address && peer_port_ == port;
  }
  const Ipv4Address& peer_address() const { return peer_address_; }
  std::uint64_t last_active_ns() const { return last_active_ns_; }

  /// Takes up the connection that `syn` asks for.
  void open(const TcpSegment& syn, std::uint32_t initial_sequence, std::uint64_t now_ns);
  /// Back to Free; what it held is given back.
  void forget();
  Fate receive(const TcpSegment& segment, std::uint64_t now_ns);

  /// Bytes of requests; empty while an answer is on its way, so that answers keep the order of the requests.
  std::string_view request_bytes() const;
  void drop_request_bytes(std::size_t count);
  /// The answer to what was in request_bytes(); with Persistence::Close the last one.
  void respond(MetadataAnswer answer, std::uint64_t now_ns);
  /// Nothing more will be answered: the peer has finished and no request is complete.
  void finish_if_peer_did(std::uint64_t now_ns);

  bool has_segment() const { return ack_due_ || sendable() != Sendable::Nothing; }
  /// Has to be asked only when has_segment(). What it points to is good until the next event.
  TcpReply next_segment(std::uint64_t now_ns);
  TcpReply reset_segment() const;
  /// Both sides have finished and all is acknowledged: forget() is due.
  bool finished() const { return !is_free() && peer_finished_ && !ack_due_ && fin_acknowledged(); }

  /// When on_time() wants to be called; nothing is outstanding otherwise.
  std::optional<std::uint64_t> deadline_ns() const { return deadline_ns_; }
  Fate on_time(std::uint64_t now_ns);
  /// The machine stood still: time that passed meanwhile does not count against the guest.
  void restart_time(std::uint64_t now_ns);

 private:
  enum class State : std::uint8_t { Free, SynReceived, Established };
  enum class Sendable : std::uint8_t { Nothing, Syn, Data, Fin };

  bool acceptable(const TcpSegment& segment) const;
  Fate receive_syn(const TcpSegment& segment, std::uint64_t now_ns);
  bool take_acknowledgement(const TcpSegment& segment, std::uint64_t now_ns);
  void take_repeated_acknowledgement(const TcpSegment& segment);
  void take_payload(const TcpSegment& segment);
  void release_answer();
  void update_deadline(std::uint64_t now_ns);
  void go_back();
  Sendable sendable() const;
  std::size_t chunk_bytes() const;
  std::uint32_t usable_window() const;
  std::size_t free_bytes() const { return received_.size() - received_bytes_; }
  bool fin_acknowledged() const { return closing_ && sequence_before(stream_end_, snd_una_); }
  TcpReply reply(std::uint32_t sequence, std::uint8_t flags) const;

  State state_ = State::Free;
  Ipv4Address peer_address_{};
  std::uint16_t peer_port_ = 0;
  std::uint16_t local_port_ = 0;
  std::uint16_t mss_bytes_ = kDefaultMssBytes;

  std::uint32_t rcv_nxt_ = 0;
  std::array<char, kRequestBufferBytes> received_{};
  std::size_t received_bytes_ = 0;
  bool peer_finished_ = false;
  bool ack_due_ = false;

  std::uint32_t snd_una_ = 0;
  std::uint32_t snd_nxt_ = 0;
  std::uint32_t snd_max_ = 0;
  std::uint32_t snd_window_bytes_ = 0;
  std::uint32_t window_sequence_ = 0;         // of the segment that stated the window last
  std::uint32_t window_acknowledgement_ = 0;  // likewise
  std::uint32_t stream_start_ = 0;
  std::uint32_t stream_end_ = 0;
  MetadataAnswer answer_;
  bool closing_ = false;  // FIN follows the stream; what comes in is thrown away
  bool probing_ = false;  // one byte may go beyond the window

  unsigned timeouts_ = 0;
  unsigned repeated_acks_ = 0;
  std::optional<std::uint64_t> deadline_ns_;
  std::uint64_t progress_ns_ = 0;
  std::uint64_t last_active_ns_ = 0;
};

}  // namespace wisp::mmds
