#include "virtio/block/backend_sync.h"

#include <algorithm>

namespace wisp {

Submission SyncBackend::submit(const BlockIo& io) {
  if (done_count_ == done_.size()) {
    return Submission::Busy;
  }
  done_[done_count_++] = {io.slot, io_.run(io)};
  return Submission::Accepted;
}

std::size_t SyncBackend::reap(std::span<BlockCompletion> completions) {
  const std::size_t count = std::min(completions.size(), done_count_);
  std::copy_n(done_.begin(), count, completions.begin());
  std::copy(done_.begin() + static_cast<std::ptrdiff_t>(count),
            done_.begin() + static_cast<std::ptrdiff_t>(done_count_), done_.begin());
  done_count_ -= count;
  return count;
}

}  // namespace wisp
