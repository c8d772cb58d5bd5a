#include "virtio/mmds/tcp_connection.h"

#include <algorithm>
#include <utility>

namespace wisp::mmds {
namespace {

/// RFC 5681 section 3.2.
constexpr unsigned kRepeatedAcksForLoss = 3;

/// `length` bytes at `offset` of two texts in a row.
std::string_view piece(std::string_view text, std::size_t offset, std::size_t length) {
  return text.substr(std::min(offset, text.size()), length);
}

}  // namespace

void TcpConnection::open(const TcpSegment& syn, std::uint32_t initial_sequence, std::uint64_t now_ns) {
  forget();
  state_ = State::SynReceived;
  peer_address_ = syn.source;
  peer_port_ = syn.source_port;
  local_port_ = syn.destination_port;
  mss_bytes_ = std::min(syn.mss_bytes.value_or(kDefaultMssBytes), kMaxMssBytes);
  rcv_nxt_ = syn.sequence + 1;
  snd_una_ = snd_nxt_ = snd_max_ = initial_sequence;
  stream_start_ = stream_end_ = initial_sequence + 1;
  last_active_ns_ = progress_ns_ = now_ns;
}

void TcpConnection::forget() {
  state_ = State::Free;
  received_bytes_ = 0;
  answer_ = {};
  peer_finished_ = ack_due_ = closing_ = probing_ = false;
  timeouts_ = repeated_acks_ = 0;
  deadline_ns_.reset();
}

// RFC 9293 section 3.10.7.4, with two of its leniencies: a shut window still takes the next acknowledgement, and a
// segment that begins before the window and ends inside or behind it is cut.
bool TcpConnection::acceptable(const TcpSegment& segment) const {
  const auto window = static_cast<std::uint32_t>(std::max<std::size_t>(free_bytes(), 1));
  if (!sequence_before(segment.sequence, rcv_nxt_)) {
    return sequence_before(segment.sequence, rcv_nxt_ + window);
  }
  return sequence_before(rcv_nxt_, segment.sequence + segment.length());
}

TcpConnection::Fate TcpConnection::receive_syn(const TcpSegment& segment, std::uint64_t now_ns) {
  if (state_ == State::SynReceived) {
    // The same SYN again, or a new one of a peer that restarted: our answer makes the latter send RST.
    go_back();
    update_deadline(now_ns);
    return Fate::Keep;
  }
  // RFC 5961 section 4: a challenge.
  ack_due_ = !segment.has(tcp_flag::kRst);
  return Fate::Keep;
}

TcpConnection::Fate TcpConnection::receive(const TcpSegment& segment, std::uint64_t now_ns) {
  last_active_ns_ = now_ns;
  if (segment.has(tcp_flag::kRst)) {
    if (segment.sequence == rcv_nxt_) {
      return Fate::Forget;
    }
    // RFC 5961 section 3: inside the window but not exact, a challenge; outside, nothing.
    ack_due_ = ack_due_ || (state_ == State::Established && acceptable(segment));
    return Fate::Keep;
  }
  if (segment.has(tcp_flag::kSyn)) {
    return receive_syn(segment, now_ns);
  }
  if (!segment.has(tcp_flag::kAck)) {
    return Fate::Keep;
  }
  if (state_ == State::SynReceived && segment.acknowledgement != snd_una_ + 1) {
    return Fate::Reset;
  }
  if (!acceptable(segment)) {
    ack_due_ = state_ == State::Established;
    return Fate::Keep;
  }
  if (take_acknowledgement(segment, now_ns)) {
    take_payload(segment);
  }
  update_deadline(now_ns);
  return Fate::Keep;
}

/// Whether the segment may be used further.
bool TcpConnection::take_acknowledgement(const TcpSegment& segment, std::uint64_t now_ns) {
  const std::uint32_t acknowledgement = segment.acknowledgement;
  if (sequence_before(snd_max_, acknowledgement)) {
    ack_due_ = true;
    return false;
  }
  const bool opens = state_ == State::SynReceived;
  if (sequence_before(snd_una_, acknowledgement)) {
    state_ = State::Established;
    snd_una_ = acknowledgement;
    snd_nxt_ = sequence_before(snd_nxt_, snd_una_) ? snd_una_ : snd_nxt_;
    timeouts_ = repeated_acks_ = 0;
    probing_ = false;
    progress_ns_ = now_ns;
    deadline_ns_.reset();
    release_answer();
  } else if (acknowledgement == snd_una_) {
    take_repeated_acknowledgement(segment);
  } else {
    return true;
  }
  const bool newer =
      sequence_before(window_sequence_, segment.sequence) ||
      (window_sequence_ == segment.sequence && !sequence_before(acknowledgement, window_acknowledgement_));
  if (opens || newer) {
    snd_window_bytes_ = segment.window_bytes;
    window_sequence_ = segment.sequence;
    window_acknowledgement_ = acknowledgement;
  }
  return true;
}

void TcpConnection::take_repeated_acknowledgement(const TcpSegment& segment) {
  // Somebody is there; only kMaxStallNs counts on.
  timeouts_ = 0;
  const bool says_nothing_new = segment.length() == 0 && segment.window_bytes == snd_window_bytes_;
  if (says_nothing_new && snd_max_ != snd_una_ && ++repeated_acks_ == kRepeatedAcksForLoss) {
    go_back();
  }
}

void TcpConnection::release_answer() {
  if (!sequence_before(snd_una_, stream_end_)) {
    answer_ = {};
    stream_start_ = stream_end_;
  }
}

void TcpConnection::take_payload(const TcpSegment& segment) {
  if (segment.length() == 0) {
    return;
  }
  ack_due_ = true;
  if (sequence_before(rcv_nxt_, segment.sequence) || peer_finished_) {
    return;  // a gap: the peer sends it again
  }
  const std::size_t known = rcv_nxt_ - segment.sequence;
  const auto fresh = segment.payload.subspan(std::min(known, segment.payload.size()));
  const std::size_t taken = closing_ ? fresh.size() : std::min(fresh.size(), free_bytes());
  if (!closing_) {
    const auto target = std::as_writable_bytes(std::span(received_)).subspan(received_bytes_);
    std::copy_n(fresh.begin(), taken, target.begin());
    received_bytes_ += taken;
  }
  rcv_nxt_ += static_cast<std::uint32_t>(taken);
  if (segment.has(tcp_flag::kFin) && taken == fresh.size()) {
    ++rcv_nxt_;
    peer_finished_ = true;
  }
}

std::string_view TcpConnection::request_bytes() const {
  const bool busy = state_ != State::Established || closing_ || stream_start_ != stream_end_;
  return busy ? std::string_view{} : std::string_view(received_.data(), received_bytes_);
}

void TcpConnection::drop_request_bytes(std::size_t count) {
  std::copy(received_.begin() + static_cast<std::ptrdiff_t>(count),
            received_.begin() + static_cast<std::ptrdiff_t>(received_bytes_), received_.begin());
  received_bytes_ -= count;
}

void TcpConnection::respond(MetadataAnswer answer, std::uint64_t now_ns) {
  answer_ = std::move(answer);
  stream_end_ = stream_start_ + static_cast<std::uint32_t>(answer_.head.size() + answer_.body.text.size());
  closing_ = answer_.persistence == Persistence::Close;
  if (closing_) {
    received_bytes_ = 0;
  }
  progress_ns_ = now_ns;
  update_deadline(now_ns);
}

void TcpConnection::finish_if_peer_did(std::uint64_t now_ns) {
  if (peer_finished_ && !closing_ && stream_start_ == stream_end_) {
    closing_ = true;
    received_bytes_ = 0;
    progress_ns_ = now_ns;
    update_deadline(now_ns);
  }
}

std::uint32_t TcpConnection::usable_window() const {
  const std::uint32_t in_flight = snd_nxt_ - snd_una_;
  return snd_window_bytes_ > in_flight ? snd_window_bytes_ - in_flight : 0;
}

std::size_t TcpConnection::chunk_bytes() const {
  const std::uint32_t wanted = std::min<std::uint32_t>(mss_bytes_, stream_end_ - snd_nxt_);
  const std::uint32_t chunk = std::min(wanted, usable_window());
  // RFC 9293 section 3.8.6.2.1: no small pieces while an acknowledgement is to come that may open the window.
  if (chunk < wanted && snd_nxt_ != snd_una_) {
    return 0;
  }
  return chunk == 0 && probing_ ? 1 : chunk;
}

TcpConnection::Sendable TcpConnection::sendable() const {
  if (state_ == State::Free) {
    return Sendable::Nothing;
  }
  if (sequence_before(snd_nxt_, stream_start_)) {
    return Sendable::Syn;
  }
  if (sequence_before(snd_nxt_, stream_end_)) {
    return chunk_bytes() > 0 ? Sendable::Data : Sendable::Nothing;
  }
  return closing_ && snd_nxt_ == stream_end_ ? Sendable::Fin : Sendable::Nothing;
}

TcpReply TcpConnection::reply(std::uint32_t sequence, std::uint8_t flags) const {
  TcpReply reply;
  reply.source_port = local_port_;
  reply.destination_port = peer_port_;
  reply.sequence = sequence;
  reply.acknowledgement = rcv_nxt_;
  reply.flags = flags;
  reply.window_bytes = static_cast<std::uint16_t>(std::min(free_bytes(), kMaxWindowBytes));
  return reply;
}

TcpReply TcpConnection::next_segment(std::uint64_t now_ns) {
  const Sendable what = sendable();
  // A bare acknowledgement states a sequence number that the peer takes for inside its window.
  const std::uint32_t edge = snd_una_ + snd_window_bytes_;
  TcpReply next = reply(what != Sendable::Nothing         ? snd_nxt_
                        : sequence_before(edge, snd_max_) ? edge
                                                          : snd_max_,
                        tcp_flag::kAck);
  if (what == Sendable::Syn) {
    next.flags |= tcp_flag::kSyn;
    next.mss_bytes = kMaxMssBytes;
    ++snd_nxt_;
  } else if (what == Sendable::Data) {
    const std::size_t offset = snd_nxt_ - stream_start_;
    const std::size_t length = chunk_bytes();
    const std::string_view head = answer_.head;
    next.first = piece(head, offset, length);
    next.second = piece(answer_.body.text, offset - std::min(offset, head.size()), length - next.first.size());
    snd_nxt_ += static_cast<std::uint32_t>(length);
    next.flags |= snd_nxt_ == stream_end_ ? tcp_flag::kPsh : std::uint8_t{0};
  }
  const bool beyond_window = what == Sendable::Data && snd_window_bytes_ == 0;
  if (what != Sendable::Nothing && what != Sendable::Syn && closing_ && snd_nxt_ == stream_end_) {
    next.flags |= tcp_flag::kFin;
    ++snd_nxt_;
  }
  snd_max_ = sequence_before(snd_max_, snd_nxt_) ? snd_nxt_ : snd_max_;
  if (beyond_window) {
    go_back();  // the peer may throw the byte away; it belongs to what comes when the window opens
  }
  ack_due_ = false;
  probing_ = false;
  update_deadline(now_ns);
  return next;
}

TcpReply TcpConnection::reset_segment() const {
  return reply(snd_max_, tcp_flag::kRst | tcp_flag::kAck);
}

void TcpConnection::go_back() {
  snd_nxt_ = snd_una_;
}

void TcpConnection::update_deadline(std::uint64_t now_ns) {
  const bool in_flight = snd_max_ != snd_una_;
  const bool shut_out = sequence_before(snd_nxt_, stream_end_) && sendable() == Sendable::Nothing;
  if (!in_flight && !shut_out) {
    deadline_ns_.reset();
  } else if (!deadline_ns_) {
    deadline_ns_ = now_ns + kRetransmitTimeoutNs;
  }
}

TcpConnection::Fate TcpConnection::on_time(std::uint64_t now_ns) {
  if (!deadline_ns_ || now_ns < *deadline_ns_) {
    return Fate::Keep;
  }
  if (++timeouts_ > kMaxRetransmits || now_ns - progress_ns_ > kMaxStallNs) {
    return Fate::Reset;
  }
  go_back();
  probing_ = true;
  repeated_acks_ = 0;
  deadline_ns_ = now_ns + kRetransmitTimeoutNs;
  return Fate::Keep;
}

void TcpConnection::restart_time(std::uint64_t now_ns) {
  last_active_ns_ = progress_ns_ = now_ns;
  if (deadline_ns_) {
    deadline_ns_ = now_ns + kRetransmitTimeoutNs;
  }
}

}  // namespace wisp::mmds
