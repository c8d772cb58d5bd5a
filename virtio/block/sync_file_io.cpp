#include "virtio/block/sync_file_io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "virtio/core/lend_vectors.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

int write_flags(IoKind kind) {
  return kind == IoKind::StableWrite ? RWF_DSYNC : 0;
}

/// Why a call that moved `result` bytes (at most 0) did not move more.
int failure_of(ssize_t result) {
  return result < 0 ? errno : EIO;
}

}  // namespace

SyncFileIo::SyncFileIo(FdRef file)
    : file_(file), bounce_(static_cast<std::byte*>(::operator new(kBounceBytes, std::align_val_t(kBounceAlignment)))) {}

template <typename Cursor>
int SyncFileIo::lend(Cursor cursor) {
  return static_cast<int>(lend_vectors(cursor, vectors_, [](const auto& slice) { return slice.lend_iovec({}); }).count);
}

IoOutcome SyncFileIo::run(const BlockIo& io) {
  switch (io.kind) {
    case IoKind::Read: return read(io.target, io.offset_bytes);
    case IoKind::Write:
    case IoKind::StableWrite: return write(io.source, io.offset_bytes, write_flags(io.kind));
    case IoKind::Flush: return sync();
  }
  return {0, EINVAL};
}

IoOutcome SyncFileIo::run_bounced(const BlockIo& io) {
  switch (io.kind) {
    case IoKind::Read: return read_bounced(io.target, io.offset_bytes);
    case IoKind::Write:
    case IoKind::StableWrite: return write_bounced(io.source, io.offset_bytes, write_flags(io.kind));
    case IoKind::Flush: return sync();
  }
  return {0, EINVAL};
}

IoOutcome SyncFileIo::read(ChainWriter target, std::uint64_t offset_bytes) {
  std::uint32_t moved_bytes = 0;
  while (!target.empty()) {
    const auto count = lend(target);
    const auto position = static_cast<off_t>(offset_bytes + moved_bytes);
    const ssize_t result = uninterrupted([&] { return ::preadv2(file_.raw(), vectors_.data(), count, position, 0); });
    if (result < 0 && errno == EINVAL) {
      const IoOutcome rest = read_bounced(target, offset_bytes + moved_bytes);
      return {moved_bytes + rest.moved_bytes, rest.sys_errno};
    }
    if (result <= 0) {
      return {moved_bytes, failure_of(result)};
    }
    target.mark_written(static_cast<std::uint32_t>(result));
    moved_bytes += static_cast<std::uint32_t>(result);
  }
  return {moved_bytes, 0};
}

IoOutcome SyncFileIo::write(ChainReader source, std::uint64_t offset_bytes, int flags) {
  std::uint32_t moved_bytes = 0;
  while (!source.empty()) {
    const auto count = lend(source);
    const auto position = static_cast<off_t>(offset_bytes + moved_bytes);
    const ssize_t result =
        uninterrupted([&] { return ::pwritev2(file_.raw(), vectors_.data(), count, position, flags); });
    if (result < 0 && errno == EINVAL) {
      const IoOutcome rest = write_bounced(source, offset_bytes + moved_bytes, flags);
      return {moved_bytes + rest.moved_bytes, rest.sys_errno};
    }
    if (result <= 0) {
      return {moved_bytes, failure_of(result)};
    }
    source.skip(static_cast<std::uint32_t>(result));
    moved_bytes += static_cast<std::uint32_t>(result);
  }
  return {moved_bytes, 0};
}

IoOutcome SyncFileIo::sync() {
  return {0, uninterrupted([&] { return ::fdatasync(file_.raw()); }) == 0 ? 0 : errno};
}

IoOutcome SyncFileIo::read_bounced(ChainWriter target, std::uint64_t offset_bytes) {
  std::uint32_t moved_bytes = 0;
  while (!target.empty()) {
    const std::size_t wanted = std::min<std::size_t>(target.size_bytes(), kBounceBytes);
    const auto position = static_cast<off_t>(offset_bytes + moved_bytes);
    const ssize_t result = uninterrupted([&] { return ::pread(file_.raw(), bounce_.get(), wanted, position); });
    if (result <= 0) {
      return {moved_bytes, failure_of(result)};
    }
    if (!target.write_bytes({bounce_.get(), static_cast<std::size_t>(result)})) {
      return {moved_bytes, EFAULT};
    }
    moved_bytes += static_cast<std::uint32_t>(result);
  }
  return {moved_bytes, 0};
}

IoOutcome SyncFileIo::write_bounced(ChainReader source, std::uint64_t offset_bytes, int flags) {
  std::uint32_t moved_bytes = 0;
  while (!source.empty()) {
    ChainReader ahead = source;  // a short write reads the rest of the guest's bytes again
    const std::size_t wanted = std::min<std::size_t>(source.size_bytes(), kBounceBytes);
    if (!ahead.read_bytes({bounce_.get(), wanted})) {
      return {moved_bytes, EFAULT};
    }
    const auto position = static_cast<off_t>(offset_bytes + moved_bytes);
    const iovec vector{bounce_.get(), wanted};
    const ssize_t result = uninterrupted([&] { return ::pwritev2(file_.raw(), &vector, 1, position, flags); });
    if (result <= 0) {
      return {moved_bytes, failure_of(result)};
    }
    source.skip(static_cast<std::uint32_t>(result));
    moved_bytes += static_cast<std::uint32_t>(result);
  }
  return {moved_bytes, 0};
}

}  // namespace wisp
