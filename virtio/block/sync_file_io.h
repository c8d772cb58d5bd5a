// SyncFileIo: blocking, complete transfers between guest memory and a file.
//
// A transfer goes on after a short or interrupted call until it is whole, or reports how far it came. A read that meets
// the end of the file (it was shrunk under us) is an I/O error.
//
// A descriptor with O_DIRECT wants aligned memory, which a guest's buffers need not be: the kernel then says EINVAL and
// the transfer is made through a bounce buffer that was allocated beforehand.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

#include "virtio/block/backend.h"
#include "virtio/core/chain_walk.h"
#include "vmm/base/fd.h"

namespace wisp {

inline constexpr std::size_t kBounceBytes = 64 * 1024;
inline constexpr std::size_t kBounceAlignment = 4096;

class SyncFileIo {
 public:
  /// The descriptor is lent: its owner outlives this object.
  explicit SyncFileIo(FdRef file);

  IoOutcome run(const BlockIo& io);
  /// The same through the bounce buffer from the start.
  IoOutcome run_bounced(const BlockIo& io);

 private:
  struct BounceDeleter {
    void operator()(std::byte* buffer) const { ::operator delete(buffer, std::align_val_t(kBounceAlignment)); }
  };

  IoOutcome read(ChainWriter target, std::uint64_t offset_bytes);
  IoOutcome write(ChainReader source, std::uint64_t offset_bytes, int flags);
  IoOutcome sync();
  IoOutcome read_bounced(ChainWriter target, std::uint64_t offset_bytes);
  IoOutcome write_bounced(ChainReader source, std::uint64_t offset_bytes, int flags);
  template <typename Cursor>
  int lend(Cursor cursor);

  FdRef file_;
  std::array<iovec, kMaxSegments> vectors_{};
  std::unique_ptr<std::byte, BounceDeleter> bounce_;
};

}  // namespace wisp
