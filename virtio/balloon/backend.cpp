#include "virtio/balloon/backend.h"

#include <algorithm>

#include "vmm/base/assert.h"

namespace wisp {
namespace {

constexpr unsigned kFrameShift = 12;

GuestAddress address_of(std::uint32_t frame) {
  return GuestAddress(std::uint64_t{frame} << kFrameShift);
}

}  // namespace

void release_range(const GuestMemory& memory, GuestRange range, ReleaseTotals& totals) {
  const Discarded discarded = memory.discard(range);
  totals.freed_bytes += discarded.freed_bytes;
  totals.outside_count += discarded.outcome == DiscardOutcome::OutsideMemory ? 1 : 0;
  totals.refused_count += discarded.outcome == DiscardOutcome::HostRefused ? 1 : 0;
}

void PageReleaser::add(std::uint32_t frame) {
  WISP_ASSERT(!full());
  frames_[count_++] = frame;
}

void PageReleaser::release(const GuestMemory& memory, ReleaseTotals& totals) {
  const auto end = frames_.begin() + static_cast<std::ptrdiff_t>(count_);
  std::sort(frames_.begin(), end);
  const auto last = std::unique(frames_.begin(), end);
  GuestRange run;
  for (auto frame = frames_.begin(); frame != last; ++frame) {
    if (!memory.readable(address_of(*frame), kPageSizeBytes)) {
      ++totals.outside_count;
      continue;
    }
    const bool follows = run.size_bytes > 0 && address_of(*frame) == run.start.checked_add(run.size_bytes);
    if (!follows && run.size_bytes > 0) {
      release_range(memory, run, totals);
    }
    run = follows ? GuestRange{run.start, run.size_bytes + kPageSizeBytes}
                  : GuestRange{address_of(*frame), kPageSizeBytes};
  }
  if (run.size_bytes > 0) {
    release_range(memory, run, totals);
  }
  count_ = 0;
}

}  // namespace wisp
