// TxBufferPool and TxBuffer: where bytes from the guest wait for a host program that reads slowly.
//
// A connection promises the guest kVsockBufferBytes of room (buf_alloc), so there must be that much for each of them.
// Few ever need it. The pool reserves address space for all buffers once, at creation; a page costs memory only after
// it was written to. A connection borrows a buffer while its host program is behind and gives it back when it has
// caught up; buffers are lent lowest first, so that the same pages are used again, and when none is lent, all pages but
// those of the first kKeptTxBuffers go back to the host.
//
// At most kVsockSlots * kVsockBufferBytes (about 68 MiB) when every host program stops reading.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "virtio/core/chain_cursor.h"
#include "vmm/base/result.h"

namespace wisp {

/// Connections at a time, in both directions together.
inline constexpr std::size_t kMaxVsockConnections = 1023;
/// Host programs that are connected and have not said CONNECT yet; one more ends the oldest.
inline constexpr std::size_t kMaxPendingClients = 64;
inline constexpr std::size_t kVsockSlots = kMaxVsockConnections + kMaxPendingClients;
/// Bytes of each connection that wait for a slow host program; what the guest is told as buf_alloc.
inline constexpr std::uint32_t kVsockBufferBytes = 64U << 10U;
/// Buffers whose pages stay when no buffer is lent.
inline constexpr std::size_t kKeptTxBuffers = 16;

class TxBufferPool {
 public:
  static Result<std::unique_ptr<TxBufferPool>> create();
  explicit TxBufferPool(std::byte* base);
  ~TxBufferPool();
  TxBufferPool(const TxBufferPool&) = delete;
  TxBufferPool& operator=(const TxBufferPool&) = delete;

  /// There is one for every slot, so none is ever missing.
  std::uint16_t lend();
  void give_back(std::uint16_t index);
  std::byte* at(std::uint16_t index) const { return base_ + std::size_t{index} * kVsockBufferBytes; }

 private:
  static constexpr std::size_t kWordBits = 64;
  static constexpr std::size_t kPoolBytes = kVsockSlots * kVsockBufferBytes;

  std::byte* base_;
  std::array<std::uint64_t, (kVsockSlots + kWordBits - 1) / kWordBits> free_{};  // a set bit is a free buffer
  std::size_t lent_count_ = 0;
  std::size_t touched_count_ = 0;  // buffers that may have pages
};

/// A first-in, first-out buffer of bytes; holds pool memory only while it is not empty.
class TxBuffer {
 public:
  bool empty() const { return size_ == 0; }
  std::uint32_t size_bytes() const { return size_; }
  std::uint32_t room_bytes() const { return kVsockBufferBytes - size_; }

  /// Takes `count_bytes` from `source`, which has them; there is room (asserted: the credit was checked).
  void append(TxBufferPool& pool, ChainReader& source, std::uint32_t count_bytes);
  /// The bytes in order, as one or two pieces.
  std::span<const iovec> parts(const TxBufferPool& pool, std::array<iovec, 2>& place) const;
  void consume(TxBufferPool& pool, std::uint32_t count_bytes);
  void clear(TxBufferPool& pool) { consume(pool, size_); }

 private:
  std::uint16_t index_ = 0;  // only while not empty
  std::uint32_t head_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace wisp
