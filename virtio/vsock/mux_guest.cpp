// The guest's side of VsockMux: packets from the guest, and packets for it.
#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "virtio/vsock/mux.h"
#include "vmm/base/log.h"

namespace wisp {

void VsockMux::from_guest(const VsockPacket& packet) {
  if (packet.defect == PacketDefect::BadChain || packet.defect == PacketDefect::HeaderTooShort) {
    metrics_->tx_queue_event_fails.add();
    WISP_LOG_LIMITED(Warn, "vsock: dropped a packet: %s", packet_defect_name(packet.defect));
    return;
  }
  metrics_->tx_packets_count.add();
  const VsockHeader& header = packet.header;
  const bool addressed = header.src_cid == guest_cid_ && header.dst_cid == kHostCid && header.type == kVsockTypeStream;
  const std::uint16_t slot = addressed ? table_.find({header.src_port, header.dst_port}) : kNoSlot;
  if (packet.defect != PacketDefect::None) {
    metrics_->tx_queue_event_fails.add();
    WISP_LOG_LIMITED(Warn, "vsock: refused a packet: %s", packet_defect_name(packet.defect));
    return slot == kNoSlot ? refuse(header) : reset(slot);  // bytes are missing: the stream cannot go on
  }
  if (slot == kNoSlot) {
    return addressed && packet.op() == VsockOp::Request ? open_from_guest(header) : refuse(header);
  }
  table_.at(slot).take_credit(header);
  if (packet.op() == VsockOp::Reset) {
    return on_guest_gone(slot);
  }
  if (table_.at(slot).state == ConnectionState::Requested) {
    return on_requested(slot, packet.op());
  }
  on_established(slot, packet);
}

// Section 5.10.6.4: what cannot be served is answered with a reset; a reset never is. The answer has the type and
// addresses of the packet, so that the sender finds the socket it belongs to.
void VsockMux::refuse(const VsockHeader& header) {
  if (static_cast<VsockOp>(header.op.get()) != VsockOp::Reset) {
    push_reset({header.src_cid, header.dst_cid, header.src_port, header.dst_port, header.type});
  }
}

void VsockMux::open_from_guest(const VsockHeader& header) {
  if (connection_count_ == kMaxVsockConnections) {
    WISP_LOG_LIMITED(Warn, "vsock: refused the guest: %zu connections are open", connection_count_);
    return refuse(header);
  }
  VsockStream stream = VsockStream::connect(listener_.path(), header.dst_port);
  if (!stream.valid()) {
    WISP_LOG_LIMITED(Info, "vsock: nobody takes connections to port %u: errno %d", header.dst_port.get(), errno);
    return refuse(header);
  }
  const std::uint16_t slot = open(ConnectionState::Established);
  if (slot == kNoSlot) {
    return refuse(header);
  }
  VsockConnection& connection = table_.at(slot);
  metrics_->conns_added.add();
  connection.stream = std::move(stream);
  connection.ports = {header.src_port, header.dst_port};
  connection.take_credit(header);
  if (!watch(slot)) {
    close(slot);
    return refuse(header);
  }
  connection.owed_packets = owed::kResponse;
  table_.insert(slot);
  note_work(slot);
}

void VsockMux::on_requested(std::uint16_t slot, VsockOp op) {
  VsockConnection& connection = table_.at(slot);
  if (op != VsockOp::Response || !connection.request_sent) {
    return reset(slot);
  }
  connection.state = ConnectionState::Established;
  connection.deadline_ns = 0;
  std::array<char, 24> line;  // "OK 2147483647\n"
  const int length = std::snprintf(line.data(), line.size(), "OK %u\n", connection.ports.host);
  const iovec part{line.data(), static_cast<std::size_t>(length)};
  const StreamIo io = connection.stream.write_parts(std::span(&part, 1));
  if (connection.host_gone || io.result != StreamResult::Moved) {
    host_is_gone(slot);
  }
  note_work(slot);
}

void VsockMux::on_established(std::uint16_t slot, const VsockPacket& packet) {
  switch (packet.op()) {
    case VsockOp::Data: return on_data(slot, packet);
    case VsockOp::Shutdown: return on_shutdown(slot, packet.header.flags);
    case VsockOp::CreditRequest: table_.at(slot).owed_packets |= owed::kCreditUpdate; break;
    case VsockOp::CreditUpdate: break;
    default: return reset(slot);  // a second request, a response that nobody asked for, an unknown operation
  }
  note_work(slot);
}

void VsockMux::on_data(std::uint16_t slot, const VsockPacket& packet) {
  VsockConnection& connection = table_.at(slot);
  std::uint32_t left = packet.header.length;
  // Section 5.10.6.3: never more than the room that was announced.
  if (connection.guest_finished_sending() || left > connection.buffer.room_bytes()) {
    metrics_->conn_event_fails.add();
    return reset(slot);
  }
  metrics_->tx_bytes_count.add(left);
  connection.received_bytes += left;
  if (connection.host_gone || left == 0) {
    connection.forwarded_bytes += left;
    connection.note_freed_room();
    return note_work(slot);
  }
  ChainReader data = packet.payload;
  if (connection.buffer.empty()) {
    const StreamIo io = connection.stream.write_from(data, left);
    if (io.result == StreamResult::Failed) {
      metrics_->tx_write_fails.add();
      connection.forwarded_bytes += left;
      return host_is_gone(slot);
    }
    connection.forwarded_bytes += io.moved_bytes;
    data.skip(io.moved_bytes);
    left -= io.moved_bytes;
  }
  connection.buffer.append(*pool_, data, left);
  after_flush(slot);
}

void VsockMux::on_shutdown(std::uint16_t slot, std::uint32_t flags) {
  VsockConnection& connection = table_.at(slot);
  const std::uint8_t before = connection.guest_shutdown;
  connection.guest_shutdown |= static_cast<std::uint8_t>(flags & vsock_shutdown::kBoth);
  if (connection.guest_shutdown == before) {
    return note_work(slot);
  }
  if ((connection.guest_shutdown & vsock_shutdown::kReceive) != 0) {
    connection.stream.shutdown_read();
    update_host_shutdown(slot);
  }
  if (connection.guest_shutdown == vsock_shutdown::kBoth) {
    set_deadline(slot, kShutdownTimeoutMs);
  }
  after_flush(slot);
}

void VsockMux::on_guest_gone(std::uint16_t slot) {
  const bool has_rest = !table_.at(slot).buffer.empty();
  return has_rest ? drain(slot) : close(slot);
}

// ---------------------------------------------------------------------------------------------------------------------
// For the guest.

std::uint32_t VsockMux::next_packet(ChainWriter target) {
  // First: a reset that is owed for an old connection must not hit a new one with the same ports.
  if (reset_count_ > 0) {
    return emit_reset(target);
  }
  for (std::uint16_t slot = table_.dequeue(); slot != kNoSlot; slot = table_.dequeue()) {
    const std::uint32_t written = produce(slot, target);
    note_work(slot);
    if (written > 0) {
      metrics_->rx_packets_count.add();
      return written;
    }
  }
  return 0;
}

std::uint32_t VsockMux::emit_reset(ChainWriter& target) {
  const Reset& reset = resets_[reset_first_];
  VsockHeader header{};
  header.src_cid = reset.from_cid;
  header.dst_cid = reset.to_cid;
  header.src_port = reset.from_port;
  header.dst_port = reset.to_port;
  header.type = reset.type;
  header.op = static_cast<std::uint16_t>(VsockOp::Reset);
  reset_first_ = (reset_first_ + 1) % kMaxOrphanResets;
  --reset_count_;
  metrics_->rx_packets_count.add();
  return target.write_bytes(std::as_bytes(std::span(&header, 1))) ? kVsockHeaderBytes : 0;
}

std::uint32_t VsockMux::emit(VsockConnection& connection, ChainWriter& target, VsockOp op, std::uint32_t flags,
                             std::uint32_t length) {
  VsockHeader header{};
  header.src_cid = kHostCid;
  header.dst_cid = std::uint64_t{guest_cid_};
  header.src_port = connection.ports.host;
  header.dst_port = connection.ports.guest;
  header.length = length;
  header.type = kVsockTypeStream;
  header.op = static_cast<std::uint16_t>(op);
  header.flags = flags;
  header.buf_alloc = kVsockBufferBytes;
  header.fwd_cnt = connection.forwarded_bytes;
  connection.told_forwarded_bytes = connection.forwarded_bytes;  // every packet carries the credit
  connection.owed_packets &= static_cast<std::uint8_t>(~owed::kCreditUpdate);
  return target.write_bytes(std::as_bytes(std::span(&header, 1))) ? kVsockHeaderBytes + length : 0;
}

std::uint32_t VsockMux::produce(std::uint16_t slot, ChainWriter& target) {
  VsockConnection& connection = table_.at(slot);
  const auto take = [&connection](std::uint8_t packet) {
    const bool is_owed = (connection.owed_packets & packet) != 0;
    connection.owed_packets &= static_cast<std::uint8_t>(~packet);
    return is_owed;
  };
  if (connection.state == ConnectionState::Resetting) {
    const std::uint32_t written = emit(connection, target, VsockOp::Reset, 0, 0);
    close(slot);
    return written;
  }
  if (take(owed::kRequest)) {
    connection.request_sent = true;
    return emit(connection, target, VsockOp::Request, 0, 0);
  }
  if (connection.state != ConnectionState::Established) {
    return 0;
  }
  if (take(owed::kResponse)) {
    return emit(connection, target, VsockOp::Response, 0, 0);
  }
  if (const std::uint32_t written = connection.may_read_host() ? produce_data(slot, target) : 0; written > 0) {
    return written;
  }
  if (take(owed::kShutdown)) {
    if (connection.host_shutdown == vsock_shutdown::kBoth && !connection.told_both) {
      connection.told_both = true;
      set_deadline(slot, kShutdownTimeoutMs);
    }
    return emit(connection, target, VsockOp::Shutdown, connection.host_shutdown, 0);
  }
  return take(owed::kCreditUpdate) ? emit(connection, target, VsockOp::CreditUpdate, 0, 0) : 0;
}

std::uint32_t VsockMux::produce_data(std::uint16_t slot, ChainWriter& target) {
  VsockConnection& connection = table_.at(slot);
  const std::uint32_t room = connection.guest_room_bytes();
  if (room == 0) {
    const bool ask = !connection.credit_asked;
    connection.credit_asked = true;
    return ask ? emit(connection, target, VsockOp::CreditRequest, 0, 0) : 0;
  }
  ChainWriter header = target;
  const ChainWriter data = header.split_off(kVsockHeaderBytes);
  if (data.empty()) {
    return emit(connection, target, VsockOp::CreditUpdate, 0,
                0);  // a buffer for a header alone is used up all the same
  }
  const StreamIo io = connection.stream.read_into(data, std::min({room, data.size_bytes(), kMaxVsockPayloadBytes}));
  if (io.result == StreamResult::Moved) {
    connection.sent_bytes += io.moved_bytes;
    metrics_->rx_bytes_count.add(io.moved_bytes);
    return emit(connection, target, VsockOp::Data, 0, io.moved_bytes);
  }
  connection.readable = false;
  if (io.result == StreamResult::WouldBlock) {
    return 0;
  }
  connection.host_ended = true;
  if (io.result == StreamResult::Failed) {
    metrics_->rx_read_fails.add();
    connection.host_gone = true;
  }
  update_host_shutdown(slot);
  return 0;
}

}  // namespace wisp
