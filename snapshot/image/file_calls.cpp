#include "snapshot/image/file_calls.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

namespace wisp {

FileCalls& FileCalls::host() {
  static FileCalls calls;
  return calls;
}

int FileCalls::open_at(int directory, const char* name, int flags, mode_t mode) {
  return ::openat(directory, name, flags, mode);
}

int FileCalls::set_size(int fd, std::uint64_t size_bytes) {
  return ::ftruncate(fd, static_cast<off_t>(size_bytes));
}

ssize_t FileCalls::write_at(int fd, const iovec* vectors, int count, std::uint64_t offset) {
  return ::pwritev(fd, vectors, count, static_cast<off_t>(offset));
}

ssize_t FileCalls::copy_range(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset,
                              std::size_t length) {
  auto source = static_cast<off_t>(from_offset);
  auto destination = static_cast<off_t>(to_offset);
  return ::copy_file_range(from, &source, to, &destination, length, 0);
}

int FileCalls::sync(int fd) {
  return ::fsync(fd);
}

int FileCalls::rename_at(int directory, const char* from, const char* to, unsigned flags) {
  return ::renameat2(directory, from, directory, to, flags);
}

int FileCalls::unlink_at(int directory, const char* name) {
  return ::unlinkat(directory, name, 0);
}

}  // namespace wisp
