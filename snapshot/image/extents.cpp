#include "snapshot/image/extents.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

constexpr std::uint64_t kCopyStepBytes = 64 * 1024 * 1024;
constexpr std::size_t kBufferBytes = 64 * 1024;

/// Errors that say "not between these two files" and not "the copy failed".
bool is_refusal(int sys_errno) {
  return sys_errno == EXDEV || sys_errno == EINVAL || sys_errno == ENOSYS || sys_errno == EOPNOTSUPP;
}

/// One step of a copy through our own buffer; the number of bytes, 0 at the end of the source, or -1 and errno.
ssize_t copy_by_hand(FileCalls& calls, FdRef from, FdRef to, std::uint64_t offset, std::uint64_t length) {
  std::array<std::byte, kBufferBytes> buffer;
  const std::size_t wanted = std::min<std::uint64_t>(length, buffer.size());
  const ssize_t got = ::pread(from.raw(), buffer.data(), wanted, static_cast<off_t>(offset));
  if (got <= 0) {
    return got;
  }
  const iovec vector{buffer.data(), static_cast<std::size_t>(got)};
  return calls.write_at(to.raw(), &vector, 1, offset);
}

}  // namespace

Result<std::vector<Extent>> data_extents(FdRef fd, const std::string& name, std::uint64_t offset,
                                         std::uint64_t length_bytes) {
  const auto seek = [fd](std::uint64_t from, int whence) {
    return ::lseek(fd.raw(), static_cast<off_t>(from), whence);
  };
  const std::uint64_t end = offset + length_bytes;
  std::vector<Extent> extents;
  for (std::uint64_t position = offset; position < end;) {
    const off_t data = seek(position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
      break;  // nothing but a hole up to the end of the file
    }
    if (data < 0 && errno == EINVAL) {
      return std::vector<Extent>{{offset, length_bytes}};
    }
    const off_t hole = data < 0 ? data : seek(static_cast<std::uint64_t>(data), SEEK_HOLE);
    if (hole < 0) {
      return Error::host(errno, "cannot find the data in the file '" + name + "'");
    }
    const auto start = static_cast<std::uint64_t>(data);
    position = std::min(static_cast<std::uint64_t>(hole), end);
    if (start >= end) {
      break;
    }
    extents.push_back({start, position - start});
  }
  return extents;
}

int copy_extent(FileCalls& calls, FdRef from, FdRef to, Extent extent) {
  bool by_hand = false;
  while (extent.length_bytes > 0) {
    const std::uint64_t step = std::min(extent.length_bytes, kCopyStepBytes);
    const ssize_t moved = uninterrupted([&] {
      return by_hand ? copy_by_hand(calls, from, to, extent.offset, step)
                     : calls.copy_range(from.raw(), extent.offset, to.raw(), extent.offset, step);
    });
    if (moved < 0 && !by_hand && is_refusal(errno)) {
      by_hand = true;
      continue;
    }
    if (moved <= 0) {
      return moved < 0 ? errno : ENODATA;
    }
    extent.offset += static_cast<std::uint64_t>(moved);
    extent.length_bytes -= static_cast<std::uint64_t>(moved);
  }
  return 0;
}

}  // namespace wisp
