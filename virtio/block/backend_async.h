// AsyncBackend: the Async engine, io_uring on one registered file (vmm/events/io_ring.h).
//
// A transfer that the kernel made only in part is queued again for its rest. One that it refuses for its alignment
// (EINVAL, a descriptor with O_DIRECT) or could not start (EAGAIN) is made synchronously through the bounce buffer.
// Each slot has its own iovecs, allocated once; they stay valid while the kernel works on the slot.
#pragma once

#include <sys/uio.h>

#include <array>
#include <memory>

#include "virtio/block/backend.h"
#include "virtio/block/disk_file.h"
#include "virtio/block/sync_file_io.h"
#include "vmm/events/io_ring.h"

namespace wisp {

class AsyncBackend final : public BlockBackend {
 public:
  /// Fails where the host refuses io_uring; the error names the setting.
  static Result<std::unique_ptr<AsyncBackend>> create(DiskFile file);

  Submission submit(const BlockIo& io) override;
  void kick() override { ring_->submit(); }
  std::size_t reap(std::span<BlockCompletion> completions) override;
  std::size_t in_flight_count() const override { return in_flight_count_; }
  void drain() override;
  std::optional<FdRef> completion_event() const override { return ring_->completion_event(); }

 private:
  struct PrivateTag {};
  struct Slot {
    BlockIo io;                     // the rest that is still to be moved
    std::uint32_t moved_bytes = 0;  // so far
  };

 public:
  AsyncBackend(PrivateTag tag, DiskFile file, std::unique_ptr<IoRing> ring);

 private:
  Submission queue_rest(Slot& slot);
  template <typename Cursor>
  std::span<const iovec> lend(std::uint16_t slot, Cursor cursor);
  /// Takes one completion of the ring in; true when the slot has come to its end.
  bool settle(Slot& slot, std::int32_t result, IoOutcome& outcome);
  bool advance(Slot& slot, std::uint32_t count, IoOutcome& outcome);

  DiskFile file_;
  SyncFileIo fallback_;
  std::array<Slot, kMaxBlockInFlight> slots_{};
  std::unique_ptr<iovec[]> vectors_;  // kMaxSegments for each slot; destroyed after the ring has let go of them
  std::unique_ptr<IoRing> ring_;
  std::size_t in_flight_count_ = 0;
};

}  // namespace wisp
