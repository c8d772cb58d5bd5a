#include "snapshot/image/atomic_file.h"

#include <sys/stat.h>

#include "tests/unit/image/image_rig.h"

namespace wisp {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using image_rig::FailingCalls;
using image_rig::file_contents;
using image_rig::put_file;
using image_rig::TempDir;

Status write_text(AtomicFile& file, std::uint64_t offset, std::string_view text) {
  return file.write_at(offset, std::as_bytes(std::span(text)));
}

TEST_CASE("Nothing is seen under the name until the file is published") {
  const TempDir dir;
  auto file = AtomicFile::create(kStateFile, dir.file("state"));
  REQUIRE(file.ok());
  REQUIRE(write_text(file.value(), 0, "new").ok());
  CHECK_FALSE(std::filesystem::exists(dir.file("state")));

  REQUIRE(file.value().publish().ok());

  CHECK(file_contents(dir.file("state")) == "new");
  CHECK(dir.entry_count() == 1);
}

TEST_CASE("Publishing replaces the old file, which whoever has it open keeps, and its permissions stay") {
  const TempDir dir;
  put_file(dir.file("state"), "old");
  REQUIRE(::chmod(dir.file("state").c_str(), 0640) == 0);
  const Fd reader = image_rig::open_file(dir.file("state"), O_RDONLY);
  AtomicFile file = AtomicFile::create(kStateFile, dir.file("state")).value();
  REQUIRE(write_text(file, 0, "newer").ok());
  CHECK(file_contents(dir.file("state")) == "old");

  REQUIRE(file.publish().ok());

  CHECK(file_contents(dir.file("state")) == "newer");
  char kept[8] = {};
  CHECK(::pread(reader.raw(), kept, sizeof(kept), 0) == 3);
  CHECK(std::string(kept) == "old");
  struct stat status {};
  REQUIRE(::stat(dir.file("state").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
  CHECK(dir.entry_count() == 1);
}

TEST_CASE("A new file is for its owner alone") {
  const TempDir dir;
  AtomicFile file = AtomicFile::create(kMemoryFile, dir.file("mem")).value();
  REQUIRE(file.publish().ok());
  struct stat status {};
  REQUIRE(::stat(dir.file("mem").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("A file that is not published leaves no trace") {
  const TempDir dir;
  put_file(dir.file("state"), "old");
  {
    AtomicFile file = AtomicFile::create(kStateFile, dir.file("state")).value();
    REQUIRE(write_text(file, 0, "half").ok());
    const AtomicFile moved = std::move(file);
    CHECK(dir.entry_count() == 2);
  }
  CHECK(file_contents(dir.file("state")) == "old");
  CHECK(dir.entry_count() == 1);
}

TEST_CASE("Names that are no place for a file are refused, and what is there stays") {
  const TempDir dir;
  put_file(dir.file("target"), "target");
  std::filesystem::create_directory(dir.file("folder"));
  std::filesystem::create_symlink(dir.file("target"), dir.file("link"));
  std::filesystem::create_symlink(dir.file("nowhere"), dir.file("dangling"));
  REQUIRE(::mkfifo(dir.file("fifo").c_str(), 0600) == 0);
  for (const char* name : {"folder", "link", "dangling", "fifo"}) {
    CAPTURE(name);
    const auto file = AtomicFile::create(kStateFile, dir.file(name));
    REQUIRE_FALSE(file.ok());
    CHECK(file.error().code() == ErrorCode::InvalidArgument);
    CHECK_THAT(file.error().text(), Contains(name) && Contains("regular file"));
  }
  for (const std::string& path : {std::string(), dir.file(""), dir.file("."), dir.file(".."), dir.file({"a\0b", 3})}) {
    CHECK_FALSE(AtomicFile::create(kStateFile, path).ok());
  }
  CHECK(dir.entry_count() == 5);
  CHECK(file_contents(dir.file("target")) == "target");
}

TEST_CASE("A directory that does not exist is named, with the operation and the remedy") {
  const TempDir dir;
  const auto file = AtomicFile::create(kMemoryFile, dir.file("no/mem"));
  REQUIRE_FALSE(file.ok());
  CHECK_THAT(file.error().text(),
             StartsWith("Cannot perform open on the memory backing file: No such file or directory (os error 2)") &&
                 Contains("/no/mem") && Contains("Make its directory first"));
}

TEST_CASE("A descriptor is written in place, without a second file") {
  const TempDir dir;
  put_file(dir.file("state"), "abcdef");
  AtomicFile file = AtomicFile::over(kStateFile, image_rig::open_file(dir.file("state"), O_RDWR)).value();
  CHECK_FALSE(file.is_atomic());
  CHECK(file.size_bytes() == 6);
  REQUIRE(write_text(file, 1, "XY").ok());
  REQUIRE(file.publish().ok());
  CHECK(file_contents(dir.file("state")) == "aXYdef");
  CHECK(dir.entry_count() == 1);
}

TEST_CASE("A descriptor that cannot be written at any place is refused") {
  const TempDir dir;
  put_file(dir.file("state"), "abc");
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const Fd read_end(ends[0]);
  CHECK_FALSE(AtomicFile::over(kStateFile, Fd(ends[1])).ok());
  CHECK_FALSE(AtomicFile::over(kStateFile, Fd()).ok());
  for (const int flags : {O_RDONLY, O_PATH, O_WRONLY | O_APPEND}) {
    CHECK_FALSE(AtomicFile::over(kStateFile, image_rig::open_file(dir.file("state"), flags)).ok());
  }
  CHECK(file_contents(dir.file("state")) == "abc");
}

TEST_CASE("A limit on file sizes is an error that names the limit") {
  const TempDir dir;
  FailingCalls calls(2, EFBIG, FailingCalls::Extent::OneCall);
  AtomicFile file = AtomicFile::create(kMemoryFile, dir.file("mem"), calls).value();
  const Status written = write_text(file, 0, "bytes");
  REQUIRE_FALSE(written.ok());
  CHECK(written.error().sys_errno() == EFBIG);
  CHECK_THAT(written.error().text(),
             StartsWith("Cannot perform write on the memory backing file: File too large") && Contains("RLIMIT_FSIZE"));
}

TEST_CASE("Short writes and interrupted ones are carried on") {
  struct Reluctant final : FileCalls {
    ssize_t write_at(int fd, const iovec* vectors, int /*count*/, std::uint64_t offset) override {
      if (++calls % 3 == 0) {
        errno = EINTR;
        return -1;
      }
      const iovec part{vectors->iov_base, (vectors->iov_len + 1) / 2};
      return FileCalls::write_at(fd, &part, 1, offset);
    }
    int calls = 0;
  } reluctant;
  const TempDir dir;
  AtomicFile file = AtomicFile::create(kMemoryFile, dir.file("mem"), reluctant).value();
  const std::string text(1000, 'x');
  REQUIRE(write_text(file, 5, text).ok());
  REQUIRE(file.publish().ok());
  CHECK(file_contents(dir.file("mem")) == std::string(5, '\0') + text);
  CHECK(file.size_bytes() == 1005);
}

// ---------------------------------------------------------------------------------------------------------------------
// Every step of writing a pair fails once.

Status write_pair(const TempDir& dir, FileCalls& calls) {
  AtomicFile memory = WISP_TRY(AtomicFile::create_keeping(kMemoryFile, dir.file("mem"), 10, calls));
  (void)WISP_TRY(memory.set_size(10));
  (void)WISP_TRY(write_text(memory, 0, "new memory"));
  AtomicFile state = WISP_TRY(AtomicFile::create(kStateFile, dir.file("state"), calls));
  (void)WISP_TRY(write_text(state, 0, "new state"));
  return AtomicFile::publish_together(memory, state);
}

TEST_CASE("Whichever call fails, the old pair is whole and alone, or the new one is there") {
  const int sys_errno = GENERATE(ENOSPC, EIO, EFBIG);
  int failures = 0;
  for (int fail_at = 0; fail_at < 100; ++fail_at) {
    CAPTURE(fail_at, sys_errno);
    const TempDir dir;
    put_file(dir.file("mem"), "old memory");
    put_file(dir.file("state"), "old state");
    FailingCalls calls(fail_at, sys_errno, FailingCalls::Extent::OneCall);
    const Status written = write_pair(dir, calls);
    if (!calls.has_failed()) {
      CHECK(failures > 12);
      return;
    }
    ++failures;
    const std::string expected = written.ok() ? "new" : "old";
    CHECK(file_contents(dir.file("mem")) == expected + " memory");
    CHECK(file_contents(dir.file("state")) == expected + " state");
    // An old file whose removal failed is all that may be left.
    CHECK(dir.entry_count() <= (written.ok() ? 3U : 2U));
  }
  FAIL("the operation never came to its end");
}

TEST_CASE("Whichever call is the last before a crash, each file is whole, old or new") {
  bool seen_new_pair = false;
  for (int fail_at = 0; fail_at < 100; ++fail_at) {
    CAPTURE(fail_at);
    const TempDir dir;
    put_file(dir.file("mem"), "old memory");
    put_file(dir.file("state"), "old state");
    FailingCalls calls(fail_at, EIO, FailingCalls::Extent::FromThen);
    (void)write_pair(dir, calls);
    const std::string memory = file_contents(dir.file("mem"));
    const std::string state = file_contents(dir.file("state"));
    CHECK((memory == "old memory" || memory == "new memory"));
    CHECK((state == "old state" || (state == "new state" && memory == "new memory")));
    seen_new_pair = seen_new_pair || state == "new state";
    if (!calls.has_failed()) {
      CHECK(seen_new_pair);
      return;
    }
  }
  FAIL("the operation never came to its end");
}

TEST_CASE("A failure where nothing was before leaves nothing") {
  int failures = 0;
  for (int fail_at = 0; fail_at < 100; ++fail_at) {
    CAPTURE(fail_at);
    const TempDir dir;
    FailingCalls calls(fail_at, ENOSPC, FailingCalls::Extent::OneCall);
    const Status written = write_pair(dir, calls);
    if (!calls.has_failed()) {
      CHECK(failures > 10);
      CHECK(dir.entry_count() == 2);
      return;
    }
    failures += written.ok() ? 0 : 1;
    CHECK(dir.entry_count() == (written.ok() ? 2U : 0U));
  }
  FAIL("the operation never came to its end");
}

TEST_CASE("A file system that cannot exchange names gets a plain replacement") {
  struct Plain final : FileCalls {
    int rename_at(int directory, const char* from, const char* to, unsigned flags) override {
      errno = EINVAL;
      return flags != 0 ? -1 : FileCalls::rename_at(directory, from, to, flags);
    }
  } plain;
  const TempDir dir;
  put_file(dir.file("mem"), "old memory");
  put_file(dir.file("state"), "old state");
  REQUIRE(write_pair(dir, plain).ok());
  CHECK(file_contents(dir.file("mem")) == "new memory");
  CHECK(file_contents(dir.file("state")) == "new state");
  CHECK(dir.entry_count() == 2);
}

}  // namespace
}  // namespace wisp
