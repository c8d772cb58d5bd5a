// A backend over a block of host memory whose results come when, and as, the test says: out of order, failing, short.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "virtio/block/backend.h"
#include "vmm/base/assert.h"
#include "vmm/events/event_fd.h"

namespace wisp::fakes {

inline EventFd make_event() {
  auto event = EventFd::create();
  WISP_ASSERT(event.ok());
  return std::move(event).value();
}

class ScriptedBackend final : public BlockBackend {
 public:
  explicit ScriptedBackend(std::size_t disk_bytes) : disk(disk_bytes), event_(make_event()) {}

  Submission submit(const BlockIo& io) override {
    if (pending.size() >= capacity) {
      return Submission::Busy;
    }
    pending.push_back(io);
    return Submission::Accepted;
  }
  void kick() override { ++kicks; }
  std::size_t reap(std::span<BlockCompletion> completions) override {
    const std::size_t count = std::min(completions.size(), done_.size());
    std::copy_n(done_.begin(), count, completions.begin());
    done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  std::size_t in_flight_count() const override { return pending.size() + done_.size(); }
  void drain() override {
    pending.clear();
    done_.clear();
  }
  std::optional<FdRef> completion_event() const override { return event_.ref(); }

  /// Carries out pending request `index` for its first `limit` bytes and reports `sys_errno`.
  void finish(std::size_t index, int sys_errno = 0, std::uint32_t limit = UINT32_MAX) {
    WISP_ASSERT(index < pending.size());
    BlockIo io = pending[index];
    pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(index));
    done_.push_back({io.slot, {move_bytes(io, limit), sys_errno}});
    event_.signal();
  }
  void finish_all() {
    while (!pending.empty()) {
      finish(0);
    }
  }

  std::vector<std::byte> disk;
  std::vector<BlockIo> pending;
  std::size_t capacity = kMaxBlockInFlight;
  int kicks = 0;

 private:
  std::uint32_t move_bytes(BlockIo& io, std::uint32_t limit) {
    if (io.kind == IoKind::Flush) {
      return 0;
    }
    const bool read = io.kind == IoKind::Read;
    const std::uint32_t count = std::min(limit, read ? io.target.size_bytes() : io.source.size_bytes());
    WISP_ASSERT(io.offset_bytes + count <= disk.size());
    const std::span<std::byte> place(disk.data() + io.offset_bytes, count);
    const bool moved = read ? io.target.write_bytes(place) : io.source.read_bytes(place);
    WISP_ASSERT(moved);
    return count;
  }

  EventFd event_;
  std::vector<BlockCompletion> done_;
};

}  // namespace wisp::fakes
