#include "virtio/block/backend_async.h"

#include <algorithm>
#include <cerrno>

#include "virtio/core/lend_vectors.h"
#include "vmm/base/assert.h"

namespace wisp {
namespace {

constexpr std::size_t kReapBatch = 32;

std::uint32_t rest_bytes(const BlockIo& io) {
  return io.kind == IoKind::Read ? io.target.size_bytes() : io.source.size_bytes();
}

}  // namespace

Result<std::unique_ptr<AsyncBackend>> AsyncBackend::create(DiskFile file) {
  static_assert(kMaxBlockInFlight <= IoRing::kMaxInFlight);
  auto ring = WISP_TRY(IoRing::create(file.ref()));
  return std::make_unique<AsyncBackend>(PrivateTag{}, std::move(file), std::move(ring));
}

AsyncBackend::AsyncBackend(PrivateTag /*tag*/, DiskFile file, std::unique_ptr<IoRing> ring)
    : file_(std::move(file)),
      fallback_(file_.ref()),
      // Not initialised: pages of slots that are never used stay unallocated.
      vectors_(std::make_unique_for_overwrite<iovec[]>(kMaxBlockInFlight * kMaxSegments)),
      ring_(std::move(ring)) {}

Submission AsyncBackend::submit(const BlockIo& io) {
  WISP_ASSERT(io.slot < slots_.size());
  Slot& slot = slots_[io.slot];
  slot = {io, 0};
  const Submission submission = queue_rest(slot);
  if (submission == Submission::Accepted) {
    ++in_flight_count_;
  }
  return submission;
}

template <typename Cursor>
std::span<const iovec> AsyncBackend::lend(std::uint16_t slot, Cursor cursor) {
  const std::span<iovec> vectors(vectors_.get() + std::size_t{slot} * kMaxSegments, kMaxSegments);
  return vectors.first(lend_vectors(cursor, vectors, [](const auto& slice) { return IoRing::lend(slice); }).count);
}

Submission AsyncBackend::queue_rest(Slot& slot) {
  const BlockIo& io = slot.io;
  auto queued = IoRing::Queued::RingFull;
  switch (io.kind) {
    case IoKind::Read: queued = ring_->queue_read(lend(io.slot, io.target), io.offset_bytes, io.slot); break;
    case IoKind::Write:
      queued = ring_->queue_write(lend(io.slot, io.source), io.offset_bytes, io.slot, IoRing::WriteMode::Buffered);
      break;
    case IoKind::StableWrite:
      queued = ring_->queue_write(lend(io.slot, io.source), io.offset_bytes, io.slot, IoRing::WriteMode::Stable);
      break;
    case IoKind::Flush: queued = ring_->queue_sync(io.slot); break;
  }
  return queued == IoRing::Queued::Yes ? Submission::Accepted : Submission::Busy;
}

bool AsyncBackend::settle(Slot& slot, std::int32_t result, IoOutcome& outcome) {
  if (result == -EINVAL || result == -EAGAIN || result == -EINTR) {
    const IoOutcome rest = fallback_.run_bounced(slot.io);
    outcome = {slot.moved_bytes + rest.moved_bytes, rest.sys_errno};
    return true;
  }
  if (result < 0) {
    outcome = {slot.moved_bytes, -result};
    return true;
  }
  if (slot.io.kind == IoKind::Flush) {
    outcome = {};
    return true;
  }
  return advance(slot, static_cast<std::uint32_t>(result), outcome);
}

bool AsyncBackend::advance(Slot& slot, std::uint32_t count, IoOutcome& outcome) {
  if (count == 0) {
    outcome = {slot.moved_bytes, EIO};  // the file ends here: it was shrunk
    return true;
  }
  if (slot.io.kind == IoKind::Read) {
    slot.io.target.mark_written(count);
  } else {
    slot.io.source.skip(count);
  }
  slot.moved_bytes += count;
  slot.io.offset_bytes += count;
  if (rest_bytes(slot.io) == 0) {
    outcome = {slot.moved_bytes, 0};
    return true;
  }
  const Submission rest = queue_rest(slot);
  WISP_ASSERT(rest == Submission::Accepted);  // the completion that was just reaped made room in the ring
  return false;
}

std::size_t AsyncBackend::reap(std::span<BlockCompletion> completions) {
  std::array<IoRing::Completion, kReapBatch> batch;
  std::size_t count = 0;
  while (count < completions.size()) {
    const std::size_t got = ring_->reap(std::span(batch).first(std::min(kReapBatch, completions.size() - count)));
    for (const IoRing::Completion& completion : std::span(batch).first(got)) {
      WISP_ASSERT(completion.tag < slots_.size());
      const auto index = static_cast<std::uint16_t>(completion.tag);
      IoOutcome outcome;
      if (settle(slots_[index], completion.result, outcome)) {
        completions[count++] = {index, outcome};
        --in_flight_count_;
      }
    }
    if (got == 0) {
      break;
    }
  }
  ring_->submit();  // the rests of short transfers
  return count;
}

void AsyncBackend::drain() {
  std::array<IoRing::Completion, kReapBatch> dropped;
  while (ring_->in_flight_count() > 0) {
    ring_->wait();
    const std::size_t got = ring_->reap(dropped);
    for (const IoRing::Completion& completion : std::span(dropped).first(got)) {
      // Nobody hears of the result, but what the kernel wrote to guest memory was written.
      if (completion.result > 0) {
        slots_[completion.tag].io.target.mark_written(static_cast<std::uint32_t>(completion.result));
      }
    }
  }
  in_flight_count_ = 0;
}

}  // namespace wisp
