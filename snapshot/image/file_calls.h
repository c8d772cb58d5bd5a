// FileCalls: the system calls that make and change a snapshot's files.
//
// They are virtual for one reason: a test can make call number N fail, and so show that a full disk or a crash at any
// step leaves the old files whole. The base class is the host itself. Every function behaves as the call of its name:
// -1 and errno for a failure.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace wisp {

class FileCalls {
 public:
  FileCalls() = default;
  FileCalls(const FileCalls&) = delete;
  FileCalls& operator=(const FileCalls&) = delete;
  virtual ~FileCalls() = default;

  /// The host's own calls.
  static FileCalls& host();

  virtual int open_at(int directory, const char* name, int flags, mode_t mode);
  virtual int set_size(int fd, std::uint64_t size_bytes);
  virtual ssize_t write_at(int fd, const iovec* vectors, int count, std::uint64_t offset);
  virtual ssize_t copy_range(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset, std::size_t length);
  virtual int sync(int fd);
  virtual int rename_at(int directory, const char* from, const char* to, unsigned flags);
  virtual int unlink_at(int directory, const char* name);
};

}  // namespace wisp
