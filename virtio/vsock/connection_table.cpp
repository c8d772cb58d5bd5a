#include "virtio/vsock/connection_table.h"

namespace wisp {

ConnectionTable::ConnectionTable() : entries_(std::make_unique<Entry[]>(kVsockSlots)) {
  buckets_.fill(kNoSlot);
  for (std::uint16_t slot = 0; slot + 1U < kVsockSlots; ++slot) {
    entries_[slot].next_free = static_cast<std::uint16_t>(slot + 1);
  }
}

std::uint16_t ConnectionTable::take() {
  const std::uint16_t slot = first_free_;
  if (slot != kNoSlot) {
    first_free_ = entries_[slot].next_free;
    entries_[slot].connection = VsockConnection{};
  }
  return slot;
}

void ConnectionTable::free(std::uint16_t slot, TxBufferPool& pool) {
  forget_ports(slot);
  leave_line(slot);
  Entry& entry = entries_[slot];
  entry.connection.stream.close();
  entry.connection.buffer.clear(pool);
  entry.connection.state = ConnectionState::Free;
  ++entry.generation;
  entry.next_free = first_free_;
  first_free_ = slot;
}

// A guest may choose ports that share a bucket; a chain has at most kMaxVsockConnections entries even then.
std::size_t ConnectionTable::bucket_of(VsockPorts ports) {
  constexpr std::uint64_t kMixer = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio: spreads neighbours
  constexpr unsigned kIndexShift = 54;                  // the 10 highest bits
  static_assert(kBuckets == std::size_t{1} << (64U - kIndexShift));
  return static_cast<std::size_t>((((std::uint64_t{ports.guest} << 32U) | ports.host) * kMixer) >> kIndexShift);
}

std::uint16_t ConnectionTable::find(VsockPorts ports) const {
  std::uint16_t slot = buckets_[bucket_of(ports)];
  while (slot != kNoSlot && entries_[slot].connection.ports != ports) {
    slot = entries_[slot].next_in_bucket;
  }
  return slot;
}

void ConnectionTable::insert(std::uint16_t slot) {
  Entry& entry = entries_[slot];
  std::uint16_t& bucket = buckets_[bucket_of(entry.connection.ports)];
  entry.next_in_bucket = bucket;
  entry.has_ports = true;
  bucket = slot;
}

void ConnectionTable::forget_ports(std::uint16_t slot) {
  Entry& entry = entries_[slot];
  if (!entry.has_ports) {
    return;
  }
  entry.has_ports = false;
  std::uint16_t* link = &buckets_[bucket_of(entry.connection.ports)];
  while (*link != slot) {
    link = &entries_[*link].next_in_bucket;
  }
  *link = entry.next_in_bucket;
}

bool ConnectionTable::host_port_in_use(std::uint32_t port) const {
  for (std::size_t slot = 0; slot < kVsockSlots; ++slot) {
    if (entries_[slot].has_ports && entries_[slot].connection.ports.host == port) {
      return true;
    }
  }
  return false;
}

void ConnectionTable::enqueue(std::uint16_t slot) {
  Entry& entry = entries_[slot];
  if (entry.in_line) {
    return;
  }
  entry.in_line = true;
  entry.line_before = line_last_;
  entry.line_after = kNoSlot;
  (line_last_ == kNoSlot ? line_first_ : entries_[line_last_].line_after) = slot;
  line_last_ = slot;
}

std::uint16_t ConnectionTable::dequeue() {
  const std::uint16_t slot = line_first_;
  if (slot != kNoSlot) {
    leave_line(slot);
  }
  return slot;
}

void ConnectionTable::leave_line(std::uint16_t slot) {
  Entry& entry = entries_[slot];
  if (!entry.in_line) {
    return;
  }
  entry.in_line = false;
  (entry.line_before == kNoSlot ? line_first_ : entries_[entry.line_before].line_after) = entry.line_after;
  (entry.line_after == kNoSlot ? line_last_ : entries_[entry.line_after].line_before) = entry.line_before;
}

}  // namespace wisp
