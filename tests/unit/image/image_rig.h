// A directory of its own for each test, and what tests of files ask again and again.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/image/file_calls.h"
#include "vmm/base/fd.h"

namespace wisp::image_rig {

class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "wisp-image-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::size_t entry_count() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

inline void put_file(const std::string& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
}

inline std::string file_contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<std::byte> file_bytes(const std::string& path) {
  const std::string text = file_contents(path);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline Fd open_file(const std::string& path, int flags) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  REQUIRE(fd.valid());
  return fd;
}

/// Room that the file takes.
inline std::uint64_t allocated_bytes(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

/// The host, but for one call, or for all from one on.
class FailingCalls final : public FileCalls {
 public:
  enum class Extent {
    OneCall,   ///< a full disk, a signal, a bad sector: the next call works again
    FromThen,  ///< the process is dead: nothing happens any more
  };
  FailingCalls(int fail_at, int sys_errno, Extent extent) : fail_at_(fail_at), sys_errno_(sys_errno), extent_(extent) {}

  bool has_failed() const { return count_ > fail_at_; }

  int open_at(int directory, const char* name, int flags, mode_t mode) override {
    return fails() ? -1 : FileCalls::open_at(directory, name, flags, mode);
  }
  int set_size(int fd, std::uint64_t size_bytes) override { return fails() ? -1 : FileCalls::set_size(fd, size_bytes); }
  ssize_t write_at(int fd, const iovec* vectors, int count, std::uint64_t offset) override {
    return fails() ? -1 : FileCalls::write_at(fd, vectors, count, offset);
  }
  ssize_t copy_range(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset,
                     std::size_t length) override {
    return fails() ? -1 : FileCalls::copy_range(from, from_offset, to, to_offset, length);
  }
  int sync(int fd) override { return fails() ? -1 : FileCalls::sync(fd); }
  int rename_at(int directory, const char* from, const char* to, unsigned flags) override {
    return fails() ? -1 : FileCalls::rename_at(directory, from, to, flags);
  }
  int unlink_at(int directory, const char* name) override {
    return fails() ? -1 : FileCalls::unlink_at(directory, name);
  }

 private:
  bool fails() {
    const bool now = extent_ == Extent::OneCall ? count_ == fail_at_ : count_ >= fail_at_;
    ++count_;
    errno = now ? sys_errno_ : errno;
    return now;
  }
  int fail_at_;
  int sys_errno_;
  Extent extent_;
  int count_ = 0;
};

}  // namespace wisp::image_rig
