// ChainReader and ChainWriter: one request's bytes, whatever descriptors they are scattered over.
//
//   auto header = chain.reader().read<BlockHeader>();    // one copy, across descriptors if need be
//   ChainWriter data = chain.writer();
//   ChainWriter status = data.split_off(data.size_bytes() - 1);
//   status.write(...);                                   // cannot touch `data`
//
// A cursor walks the segments that the chain copied and checked when it was popped; it never looks at a descriptor
// again. A cursor is a small value: copy it to remember a place. It must not outlive its chain.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "vmm/memory/guest_memory.h"

namespace wisp {

/// One checked, non-empty buffer of a chain. Trivial on purpose: a queue's segment store stays untouched until used.
struct Segment {
  std::uint64_t address;
  std::uint32_t length;
};

/// The walk over segments that both cursors share.
class ChainCursor {
 public:
  ChainCursor() = default;
  ChainCursor(const GuestMemory& memory, std::span<const Segment> segments, std::uint32_t size_bytes)
      : memory_(&memory), segments_(segments), remaining_(size_bytes) {}

  /// Bytes between here and the end.
  std::uint32_t size_bytes() const { return remaining_; }
  bool empty() const { return remaining_ == 0; }
  /// Moves on by `count` bytes, at most to the end.
  void skip(std::uint32_t count);

 protected:
  struct Piece {
    GuestAddress address;
    std::uint32_t length = 0;
  };
  /// The contiguous bytes from here, at most `limit`; moves past them. Length 0 at the end.
  Piece take_piece(std::uint32_t limit);
  void cut_to(std::uint32_t size_bytes) { remaining_ = size_bytes; }
  bool copy_out(std::span<std::byte> destination);

  const GuestMemory* memory_ = nullptr;

 private:
  std::span<const Segment> segments_;
  std::size_t index_ = 0;
  std::uint32_t offset_ = 0;
  std::uint32_t remaining_ = 0;
};

/// The device-readable bytes of a chain.
class ChainReader : public ChainCursor {
 public:
  using ChainCursor::ChainCursor;

  /// Copies exactly destination.size() bytes, once; false, with nothing consumed, when fewer are left.
  [[nodiscard]] bool read_bytes(std::span<std::byte> destination);
  template <GuestPod T>
  [[nodiscard]] std::optional<T> read() {
    std::array<std::byte, sizeof(T)> bytes;
    return read_bytes(bytes) ? std::optional(std::bit_cast<T>(bytes)) : std::nullopt;
  }
  /// The next contiguous window, for handing to the kernel; nothing at the end.
  [[nodiscard]] std::optional<ReadableSlice> next_slice();
};

/// The device-writable bytes of a chain.
class ChainWriter : public ChainCursor {
 public:
  using ChainCursor::ChainCursor;

  /// Copies all of `source`; false, with nothing written, when it does not fit.
  [[nodiscard]] bool write_bytes(std::span<const std::byte> source);
  [[nodiscard]] std::optional<WritableSlice> next_slice();
  /// Keeps the first `size_bytes` here and gives the rest away: two writers that cannot touch each other's bytes.
  [[nodiscard]] ChainWriter split_off(std::uint32_t size_bytes);
  /// The kernel has written the next `count` bytes: marks them dirty and moves past them.
  void mark_written(std::uint32_t count);
  /// Copies back what the device has put into the next destination.size() bytes, for an answer that has to wait after
  /// all. The driver may have changed it since; false when fewer are left.
  [[nodiscard]] bool read_back(std::span<std::byte> destination);
};

}  // namespace wisp
