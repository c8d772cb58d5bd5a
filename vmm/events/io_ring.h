// IoRing: asynchronous file I/O on one file (io_uring), with everything else switched off.
//
//   auto ring = WISP_TRY(IoRing::create(file.ref()));
//   loop.watch(ring->completion_event(), Interest::ReadableEdge, handler);   // each completion is an edge
//   ring->queue_read(vectors, offset, tag);      // vectors stay valid until the operation has completed
//   ring->submit();                              // once per batch
//   ring->reap(completions);                     // in the handler
//
// seccomp cannot see what a ring does, so the ring restricts itself before it is enabled: only READV, WRITEV, READ,
// WRITE and FSYNC, only on the one registered file, and no registration afterwards (IORING_REGISTER_RESTRICTIONS).
//
// Belongs to one thread. The destructor waits until the kernel has finished everything that was submitted.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "vmm/base/fd.h"
#include "vmm/events/event_fd.h"

struct io_uring;
struct io_uring_sqe;

namespace wisp {

class IoRing {
 public:
  /// Operations that may be outstanding at a time.
  static constexpr std::uint32_t kMaxInFlight = 256;

  enum class Queued { Yes, RingFull };
  enum class WriteMode { Buffered, Stable };  ///< Stable: completes when the data is on the medium (RWF_DSYNC)

  struct Completion {
    std::uint64_t tag = 0;
    std::int32_t result = 0;  ///< bytes moved, or a negative errno
  };

  static Result<std::unique_ptr<IoRing>> create(FdRef file);
  /// The error for a refused io_uring_setup: says which host setting refuses it and what to do.
  static Error refusal(int sys_errno);
  ~IoRing();

  /// The iovec of a slice of guest memory. The kernel alone follows it.
  template <typename Slice>
  static iovec lend(const Slice& slice) {
    return slice.lend_iovec({});
  }

  [[nodiscard]] Queued queue_read(std::span<const iovec> vectors, std::uint64_t offset, std::uint64_t tag);
  [[nodiscard]] Queued queue_write(std::span<const iovec> vectors, std::uint64_t offset, std::uint64_t tag,
                                   WriteMode mode);
  /// fdatasync.
  [[nodiscard]] Queued queue_sync(std::uint64_t tag);
  /// Hands everything queued to the kernel. What the kernel has no room for right now stays queued, and the completion
  /// event is signalled so that the caller comes back.
  void submit();
  /// Takes completions that are there; returns how many.
  [[nodiscard]] std::size_t reap(std::span<Completion> completions);
  /// Blocks until there is a completion to reap. Only with operations in flight.
  void wait();

  std::size_t in_flight_count() const { return in_flight_count_; }
  FdRef completion_event() const { return completion_event_.ref(); }

 private:
  struct PrivateTag {};
  struct Deleter {
    void operator()(io_uring* ring) const;
  };
  using Handle = std::unique_ptr<io_uring, Deleter>;

 public:
  IoRing(PrivateTag tag, Handle ring, EventFd completion_event);

 private:
  static Status restrict_and_enable(io_uring& ring, FdRef file, FdRef completion_event);
  io_uring_sqe* next_entry();
  Queued finish_entry(io_uring_sqe* entry, std::uint64_t tag);

  EventFd completion_event_;
  Handle ring_;
  std::size_t in_flight_count_ = 0;
};

}  // namespace wisp
