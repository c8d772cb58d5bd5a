// ConnectionTable: all connections of a device in fixed slots, found by their ports, and the line of those that have
// something for the guest. Everything is allocated at creation; nothing that a guest does makes it grow.
//
// A slot number is good for as long as its generation is: an event for a connection that ended meanwhile names an old
// generation and is dropped.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "virtio/vsock/connection.h"

namespace wisp {

class ConnectionTable {
 public:
  ConnectionTable();

  VsockConnection& at(std::uint16_t slot) { return entries_[slot].connection; }
  std::uint32_t generation(std::uint16_t slot) const { return entries_[slot].generation; }

  /// A cleared connection in a free slot; kNoSlot when there is none.
  std::uint16_t take();
  /// Closes the connection and frees its slot.
  void free(std::uint16_t slot, TxBufferPool& pool);

  /// kNoSlot: no live connection has these ports.
  std::uint16_t find(VsockPorts ports) const;
  void insert(std::uint16_t slot);
  /// The ports are free again; the slot stays taken.
  void forget_ports(std::uint16_t slot);
  bool host_port_in_use(std::uint32_t port) const;

  /// Puts the slot at the end of the line, if it is not in it.
  void enqueue(std::uint16_t slot);
  /// kNoSlot: nobody has anything for the guest.
  std::uint16_t dequeue();
  bool line_empty() const { return line_first_ == kNoSlot; }

  template <typename Visit>
  void for_each(Visit visit) {
    for (std::uint16_t slot = 0; slot < kVsockSlots; ++slot) {
      if (entries_[slot].connection.state != ConnectionState::Free) {
        visit(slot, entries_[slot].connection);
      }
    }
  }

 private:
  static constexpr std::size_t kBuckets = 1024;

  struct Entry {
    VsockConnection connection;
    std::uint32_t generation = 0;
    std::uint16_t next_free = kNoSlot;
    std::uint16_t next_in_bucket = kNoSlot;
    bool has_ports = false;
    bool in_line = false;
    std::uint16_t line_before = kNoSlot;
    std::uint16_t line_after = kNoSlot;
  };
  static std::size_t bucket_of(VsockPorts ports);
  void leave_line(std::uint16_t slot);

  std::unique_ptr<Entry[]> entries_;
  std::array<std::uint16_t, kBuckets> buckets_;
  std::uint16_t first_free_ = 0;
  std::uint16_t line_first_ = kNoSlot;
  std::uint16_t line_last_ = kNoSlot;
};

}  // namespace wisp
