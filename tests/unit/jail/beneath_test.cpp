#include "jailer/jail/beneath.h"

#include <fcntl.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cerrno>
#include <cstdlib>

namespace wisp {
namespace {

/// A folder of its own, removed at the end.
class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/wisp-beneath-XXXXXX";
    folder_.path = ::mkdtemp(name);
    folder_.fd = Fd(::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Scratch() {
    for (const char* each : {"link", "file"}) {
      ::unlinkat(folder_.fd.raw(), each, 0);
    }
    ::unlinkat(folder_.fd.raw(), "folder", AT_REMOVEDIR);
    ::rmdir(folder_.path.c_str());
  }
  const Folder& folder() const { return folder_; }
  int raw() const { return folder_.fd.raw(); }

 private:
  Folder folder_;
};

}  // namespace

TEST_CASE("beneath: a symlink is not followed, in the last part or before it") {
  const Scratch scratch;
  REQUIRE(::symlinkat("/etc", scratch.raw(), "link") == 0);
  CHECK_FALSE(open_beneath(scratch.folder().fd.ref(), "link", O_RDONLY).valid());
  CHECK(errno == ELOOP);
  CHECK_FALSE(open_beneath(scratch.folder().fd.ref(), "link/passwd", O_RDONLY).valid());
  CHECK(errno == ELOOP);
}

TEST_CASE("beneath: parents and absolute paths lead nowhere") {
  const Scratch scratch;
  CHECK_FALSE(open_beneath(scratch.folder().fd.ref(), "..", O_RDONLY).valid());
  CHECK(errno == EXDEV);
  CHECK_FALSE(open_beneath(scratch.folder().fd.ref(), "/etc", O_RDONLY).valid());
  CHECK(errno == EXDEV);
}

TEST_CASE("beneath: a FIFO is opened without waiting for its other end") {
  const Scratch scratch;
  REQUIRE(::mkfifoat(scratch.raw(), "file", 0600) == 0);
  CHECK(open_beneath(scratch.folder().fd.ref(), "file", O_RDONLY).valid());
}

TEST_CASE("beneath: a folder that was made is removed again by undoing, one that was there stays") {
  const Scratch scratch;
  UndoLog undo;
  REQUIRE(ensure_folder(scratch.folder(), "folder", Trust{::getuid()}, undo).ok());
  CHECK(::faccessat(scratch.raw(), "folder", F_OK, 0) == 0);
  undo.run();
  CHECK(::faccessat(scratch.raw(), "folder", F_OK, 0) != 0);
  REQUIRE(::mkdirat(scratch.raw(), "folder", 0755) == 0);
  REQUIRE(ensure_folder(scratch.folder(), "folder", Trust{::getuid()}, undo).ok());
  CHECK(undo.empty());
}

TEST_CASE("beneath: owners other than root and the trusted one are refused, as are folders that others may write") {
  struct stat status {};
  status.st_mode = S_IFDIR | 0755;
  status.st_uid = 7;
  CHECK_FALSE(check_folder(status, "x", Trust{8}).ok());
  CHECK(check_folder(status, "x", Trust{7}).ok());
  status.st_mode = S_IFDIR | 0757;
  CHECK_FALSE(check_folder(status, "x", Trust{7}).ok());
  status.st_mode = S_IFDIR | 01757;
  CHECK(check_folder(status, "x", Trust{7}).ok());
  status.st_mode = S_IFDIR | 0775;
  status.st_gid = 9;
  CHECK_FALSE(check_folder(status, "x", Trust{7}).ok());
  status.st_gid = 0;
  CHECK(check_folder(status, "x", Trust{7}).ok());
}

TEST_CASE("beneath: owner and mode are put back by undoing") {
  const Scratch scratch;
  UndoLog undo;
  REQUIRE(own_folder(scratch.folder(), ::getuid(), ::getgid(), 01770, undo).ok());
  struct stat status {};
  REQUIRE(::fstat(scratch.raw(), &status) == 0);
  CHECK((status.st_mode & 07777) == 01770);
  undo.run();
  REQUIRE(::fstat(scratch.raw(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
}

}  // namespace wisp
