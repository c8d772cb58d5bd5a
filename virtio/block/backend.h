// BlockBackend: moves a request's bytes between guest memory and a host file, and reports by slot number.
//
//   backend.submit(io);        // any number of times; nothing is reported from inside
//   backend.kick();            // once per batch
//   backend.reap(results);     // now, and again whenever completion_event() is signalled
//
// A backend knows neither queues nor the virtio status; a device knows neither files nor io_uring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "virtio/core/chain_cursor.h"
#include "vmm/base/fd.h"

namespace wisp {

/// Requests that a device has in flight at a time: one queue's worth, so a slot is never missing.
inline constexpr std::size_t kMaxBlockInFlight = 256;

enum class IoKind : std::uint8_t { Read, Write, StableWrite, Flush };

/// One transfer. The cursors' size is the length; they stay valid until the result is reaped or the backend drained.
struct BlockIo {
  std::uint16_t slot = 0;
  IoKind kind = IoKind::Flush;
  std::uint64_t offset_bytes = 0;
  ChainReader source;  ///< of a write
  ChainWriter target;  ///< of a read
};

/// How far a transfer came. Anything but sys_errno 0 means that it did not come to its end; moved_bytes is true always.
struct IoOutcome {
  std::uint32_t moved_bytes = 0;
  int sys_errno = 0;
};

struct BlockCompletion {
  std::uint16_t slot = 0;
  IoOutcome outcome;
};

enum class Submission : std::uint8_t {
  Accepted,
  Busy,  ///< nothing was taken; there is room again after a completion
};

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  [[nodiscard]] virtual Submission submit(const BlockIo& io) = 0;
  virtual void kick() = 0;
  /// Takes results that are there; returns how many.
  [[nodiscard]] virtual std::size_t reap(std::span<BlockCompletion> completions) = 0;
  /// Accepted and not yet reaped.
  virtual std::size_t in_flight_count() const = 0;
  /// Waits until guest memory is no longer touched and forgets the results.
  virtual void drain() = 0;
  /// An eventfd, signalled each time when results arrive on their own; nothing for a backend that has them all after
  /// kick(). To be watched edge-triggered: nobody reads the counter.
  virtual std::optional<FdRef> completion_event() const = 0;
};

}  // namespace wisp
