#include "virtio/mmds/metadata_endpoint.h"

#include <algorithm>
#include <utility>

namespace wisp {
namespace {

using mmds::PacketDefect;
using mmds::TcpConnection;
using mmds::TcpReply;
using mmds::TcpSegment;
namespace flag = mmds::tcp_flag;

/// RFC 9293 section 3.4.1: initial sequence numbers follow a clock of 4 microseconds, and differ between connections.
constexpr std::uint64_t kSequenceTickNs = 4000;
constexpr std::uint32_t kSequenceStride = 64000;

}  // namespace

Result<std::unique_ptr<MetadataEndpoint>> MetadataEndpoint::create(MetadataService& service, EventLoop& loop,
                                                                   const Clock& clock) {
  std::unique_ptr<MetadataEndpoint> endpoint(new MetadataEndpoint(service, clock));
  MetadataEndpoint& target = *endpoint;
  endpoint->timer_ = WISP_TRY(OneShotTimer::create(loop, [&target] { target.on_time(); }));
  return endpoint;
}

bool MetadataEndpoint::takes(std::span<const std::byte> head) const {
  if (head.size() < sizeof(mmds::EthernetHeader)) {
    service_.metrics().rx_bad_eth.add();
    return false;
  }
  return mmds::is_ipv4_to(head, service_.address()) || mmds::is_arp_request_for(head, service_.address());
}

void MetadataEndpoint::receive(std::span<const std::byte> frame) {
  MmdsMetrics& metrics = service_.metrics();
  metrics.rx_count.add();
  if (frame.size() < sizeof(mmds::EthernetHeader)) {
    metrics.rx_bad_eth.add();
    return;
  }
  metrics.rx_accepted.add();
  guest_mac_ = mmds::read_wire<mmds::EthernetHeader>(frame, 0).source;
  if (mmds::is_arp_request_for(frame, service_.address())) {
    receive_arp(frame);
    return;
  }
  TcpSegment segment;
  switch (mmds::read_tcp(frame, segment)) {
    case PacketDefect::None: receive_segment(segment); break;
    case PacketDefect::NotTcp: metrics.rx_accepted_unusual.add(); break;
    default: metrics.rx_accepted_err.add(); break;
  }
  arm_timer();
}

void MetadataEndpoint::receive_arp(std::span<const std::byte> frame) {
  const auto request = mmds::read_wire<mmds::ArpPacket>(frame, sizeof(mmds::EthernetHeader));
  // Of several requests that nobody has taken the reply to, the last one counts: a guest has one address.
  arp_reply_ = mmds::Route{request.sender_mac, service_.address(), request.sender_address};
}

MetadataEndpoint::Connection* MetadataEndpoint::find(const TcpSegment& segment) {
  const auto found = std::ranges::find_if(connections_, [&](const Connection& connection) {
    return connection.is_peer(segment.source, segment.source_port);
  });
  return found == connections_.end() ? nullptr : &*found;
}

MetadataEndpoint::Connection* MetadataEndpoint::free_slot() {
  const auto unused = std::ranges::find_if(connections_, &Connection::is_free);
  if (unused != connections_.end()) {
    return &*unused;
  }
  const auto oldest = std::ranges::min_element(connections_, {}, &Connection::last_active_ns);
  const std::uint64_t now_ns = clock_.now_ns();
  if (now_ns < oldest->last_active_ns() || now_ns - oldest->last_active_ns() < kEvictAfterNs) {
    return nullptr;
  }
  queue_reset(oldest->peer_address(), oldest->reset_segment());
  end(*oldest);
  return &*oldest;
}

void MetadataEndpoint::receive_segment(const TcpSegment& segment) {
  Connection* connection = segment.destination_port == kPort ? find(segment) : nullptr;
  if (connection == nullptr) {
    const bool asks = segment.destination_port == kPort && segment.has(flag::kSyn) &&
                      !segment.has(flag::kAck | flag::kRst | flag::kFin);
    asks ? take_up(segment) : refuse(segment);
    return;
  }
  switch (connection->receive(segment, clock_.now_ns())) {
    case TcpConnection::Fate::Keep: serve(*connection); break;
    case TcpConnection::Fate::Reset: refuse(segment); [[fallthrough]];
    case TcpConnection::Fate::Forget: end(*connection); break;
  }
}

void MetadataEndpoint::take_up(const TcpSegment& syn) {
  Connection* connection = free_slot();
  if (connection == nullptr) {
    refuse(syn);
    return;
  }
  const std::uint64_t now_ns = clock_.now_ns();
  const auto ticks = static_cast<std::uint32_t>(now_ns / kSequenceTickNs);
  connection->open(syn, ticks + ++opened_ * kSequenceStride, now_ns);
  service_.metrics().connections_created.add();
}

void MetadataEndpoint::serve(Connection& connection) {
  // One answer at a time; the next request is looked at when this one is acknowledged.
  const std::uint64_t now_ns = clock_.now_ns();
  const std::string_view bytes = connection.request_bytes();
  mmds::ReadRequest read = bytes.empty() ? mmds::ReadRequest{} : mmds::read_request(bytes);
  switch (read.state) {
    case mmds::RequestState::Incomplete: connection.finish_if_peer_did(now_ns); break;
    case mmds::RequestState::Malformed:
      service_.metrics().rx_accepted_err.add();
      connection.respond(MetadataService::refuse(read.defect), now_ns);
      break;
    case mmds::RequestState::Complete: {
      // The request points into the connection's buffer: answered first, dropped then.
      MetadataAnswer answer = service_.answer(read.request);
      connection.drop_request_bytes(read.length_bytes);
      connection.respond(std::move(answer), now_ns);
      break;
    }
  }
  if (connection.finished()) {
    end(connection);
  }
}

void MetadataEndpoint::end(Connection& connection) {
  connection.forget();
  service_.metrics().connections_destroyed.add();
}

// RFC 9293 section 3.5.2: what no connection wants is answered by RST, unless it is one.
void MetadataEndpoint::refuse(const TcpSegment& segment) {
  service_.metrics().rx_accepted_unusual.add();
  if (segment.has(flag::kRst)) {
    return;
  }
  TcpReply reply;
  reply.source_port = segment.destination_port;
  reply.destination_port = segment.source_port;
  if (segment.has(flag::kAck)) {
    reply.sequence = segment.acknowledgement;
    reply.flags = flag::kRst;
  } else {
    reply.acknowledgement = segment.sequence + segment.length();
    reply.flags = flag::kRst | flag::kAck;
  }
  queue_reset(segment.source, reply);
}

void MetadataEndpoint::queue_reset(const Ipv4Address& guest, const TcpReply& reply) {
  if (reset_count_ == kMaxPendingResets) {
    service_.metrics().tx_errors.add();
    return;
  }
  resets_[(first_reset_ + reset_count_++) % kMaxPendingResets] = {guest, reply};
}

std::size_t MetadataEndpoint::count_sent(std::size_t length_bytes) {
  MmdsMetrics& metrics = service_.metrics();
  metrics.tx_frames.add();
  metrics.tx_count.add();
  metrics.tx_bytes.add(length_bytes);
  return length_bytes;
}

std::size_t MetadataEndpoint::send(std::span<std::byte> frame, const Ipv4Address& guest, const TcpReply& reply) {
  return count_sent(mmds::write_tcp(frame, {guest_mac_, service_.address(), guest}, reply));
}

std::size_t MetadataEndpoint::next_reply(std::span<std::byte> frame) {
  WISP_ASSERT(frame.size() >= kMaxDetourFrameBytes);
  if (arp_reply_) {
    return count_sent(mmds::write_arp_reply(frame, *std::exchange(arp_reply_, std::nullopt)));
  }
  if (reset_count_ > 0) {
    const PendingReset& reset = resets_[first_reset_];
    first_reset_ = (first_reset_ + 1) % kMaxPendingResets;
    --reset_count_;
    return send(frame, reset.guest, reset.reply);
  }
  for (std::size_t step = 0; step < kMaxConnections; ++step) {
    const std::size_t slot = (turn_ + step) % kMaxConnections;
    Connection& connection = connections_[slot];
    if (!connection.has_segment()) {
      continue;
    }
    turn_ = (slot + 1) % kMaxConnections;
    const std::size_t length = send(frame, connection.peer_address(), connection.next_segment(clock_.now_ns()));
    if (connection.finished()) {
      end(connection);
    }
    arm_timer();
    return length;
  }
  return 0;
}

bool MetadataEndpoint::has_reply() const {
  return arp_reply_ || reset_count_ > 0 || std::ranges::any_of(connections_, &Connection::has_segment);
}

std::size_t MetadataEndpoint::connection_count() const {
  return static_cast<std::size_t>(std::ranges::count(connections_, false, &Connection::is_free));
}

void MetadataEndpoint::arm_timer() {
  std::optional<std::uint64_t> earliest_ns;
  for (const Connection& connection : connections_) {
    const auto deadline_ns = connection.deadline_ns();
    if (deadline_ns && (!earliest_ns || *deadline_ns < *earliest_ns)) {
      earliest_ns = deadline_ns;
    }
  }
  if (!earliest_ns || paused_) {
    if (timer_->armed()) {
      timer_->disarm();
    }
    return;
  }
  // A later deadline is found when the timer expires: moving it with every segment would cost a system call each.
  if (!timer_->armed() || *earliest_ns < armed_for_ns_) {
    const std::uint64_t now_ns = clock_.now_ns();
    timer_->arm(*earliest_ns > now_ns ? *earliest_ns - now_ns : 0);
    armed_for_ns_ = *earliest_ns;
  }
}

void MetadataEndpoint::on_time() {
  if (paused_) {
    return;
  }
  const std::uint64_t now_ns = clock_.now_ns();
  for (Connection& connection : connections_) {
    if (!connection.is_free() && connection.on_time(now_ns) == TcpConnection::Fate::Reset) {
      queue_reset(connection.peer_address(), connection.reset_segment());
      end(connection);
    }
  }
  arm_timer();
  if (wake_ && has_reply()) {
    wake_();
  }
}

void MetadataEndpoint::reset() {
  for (Connection& connection : connections_) {
    if (!connection.is_free()) {
      end(connection);
    }
  }
  arp_reply_.reset();
  reset_count_ = 0;
  arm_timer();
}

void MetadataEndpoint::pause() {
  paused_ = true;
  arm_timer();
}

void MetadataEndpoint::resume() {
  paused_ = false;
  const std::uint64_t now_ns = clock_.now_ns();
  for (Connection& connection : connections_) {
    connection.restart_time(now_ns);
  }
  arm_timer();
}

}  // namespace wisp
