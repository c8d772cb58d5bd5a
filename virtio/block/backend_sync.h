// SyncBackend: the Sync engine. A transfer is made when it is submitted, on the loop's thread; its result waits to be
// reaped, so that both engines look alike to the device.
#pragma once

#include <array>
#include <memory>

#include "virtio/block/backend.h"
#include "virtio/block/disk_file.h"
#include "virtio/block/sync_file_io.h"

namespace wisp {

class SyncBackend final : public BlockBackend {
 public:
  explicit SyncBackend(DiskFile file) : file_(std::move(file)), io_(file_.ref()) {}

  Submission submit(const BlockIo& io) override;
  void kick() override {}
  std::size_t reap(std::span<BlockCompletion> completions) override;
  std::size_t in_flight_count() const override { return done_count_; }
  void drain() override { done_count_ = 0; }
  std::optional<FdRef> completion_event() const override { return std::nullopt; }

 private:
  DiskFile file_;
  SyncFileIo io_;
  std::array<BlockCompletion, kMaxBlockInFlight> done_{};
  std::size_t done_count_ = 0;
};

}  // namespace wisp
