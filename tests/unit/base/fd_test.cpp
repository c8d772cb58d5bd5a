#include "vmm/base/fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace wisp {
namespace {

using Catch::Matchers::Contains;

/// A folder of its own for each test, removed at the end.
class Folder {
 public:
  Folder() {
    char path[] = "/tmp/wisp-fd-XXXXXX";
    REQUIRE(::mkdtemp(path) != nullptr);
    path_ = path;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

bool is_open(int raw) {
  return ::fcntl(raw, F_GETFD) >= 0;
}

std::string refusal(const std::string& path, FileKind kind = FileKind::Regular) {
  const auto result = open_data_file("drive", path, Access::ReadOnly, kind);
  REQUIRE_FALSE(result.ok());
  CHECK_THAT(result.error().text(), Contains("drive"));
  return result.error().text();
}

TEST_CASE("A descriptor is closed once, by its last owner") {
  Fd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int raw = first.raw();
  {
    Fd second(std::move(first));
    CHECK_FALSE(first.valid());
    CHECK(is_open(raw));
    Fd third;
    third = std::move(second);
    CHECK(third.raw() == raw);
  }
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("Assigning closes what was held before, and release closes nothing") {
  Fd held(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int old_raw = held.raw();
  held = Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_FALSE(is_open(old_raw));
  const int raw = held.release();
  CHECK_FALSE(held.valid());
  CHECK(is_open(raw));
  ::close(raw);
}

TEST_CASE("A regular file opens close-on-exec, for reading or for both") {
  const Folder folder;
  std::ofstream(folder / "disk") << "data";
  const auto reading = open_data_file("drive", folder / "disk", Access::ReadOnly, FileKind::Regular);
  REQUIRE(reading.ok());
  CHECK((::fcntl(reading.value().raw(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(::write(reading.value().raw(), "x", 1) == -1);
  const auto both = open_data_file("drive", folder / "disk", Access::ReadWrite, FileKind::Regular);
  REQUIRE(both.ok());
  CHECK(::write(both.value().raw(), "x", 1) == 1);
}

TEST_CASE("A directory and a device are no regular files, and are told apart by name") {
  const Folder folder;
  CHECK_THAT(refusal(folder / ""), Contains("a directory"));
  CHECK_THAT(refusal("/dev/null"), Contains("a character device"));
}

TEST_CASE("A disk may be a device but no directory; a boot image is judged later") {
  const Folder folder;
  CHECK(open_data_file("drive", "/dev/null", Access::ReadOnly, FileKind::Disk).ok());
  CHECK_THAT(refusal(folder / "", FileKind::Disk), Contains("a directory"));
  CHECK(open_data_file("kernel", folder / "", Access::ReadOnly, FileKind::BootImage).ok());
  CHECK(open_data_file("kernel", "/dev/null", Access::ReadOnly, FileKind::BootImage).ok());
}

TEST_CASE("A FIFO and a socket are refused at once, whatever they are wanted for") {
  const FileKind kind = GENERATE(FileKind::Regular, FileKind::BootImage, FileKind::Disk);
  const Folder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK_THAT(refusal(folder / "fifo", kind), Contains("a FIFO"));
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder / "socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CHECK_THAT(refusal(folder / "socket", kind), Contains("drive"));
  ::close(listener);
}

TEST_CASE("A FIFO with a writer, or behind a link, is refused too") {
  const Folder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink((folder / "fifo").c_str(), (folder / "link").c_str()) == 0);
  const Fd writer(::open((folder / "fifo").c_str(), O_RDWR | O_CLOEXEC));
  CHECK_THAT(refusal(folder / "fifo"), Contains("a FIFO"));
  CHECK_THAT(refusal(folder / "link"), Contains("a FIFO"));
}

TEST_CASE("A directory opened for writing and a missing file give the system's reason") {
  const Folder folder;
  const auto directory = open_data_file("drive", folder / "", Access::ReadWrite, FileKind::Regular);
  REQUIRE_FALSE(directory.ok());
  CHECK_THAT(directory.error().text(), Contains("Is a directory"));
  CHECK_THAT(refusal(folder / "missing"), Contains("No such file or directory (os error 2)") && Contains("missing"));
}

TEST_CASE("A path with a NUL byte is refused instead of being cut") {
  const Folder folder;
  std::ofstream(folder / "disk") << "data";
  CHECK_THAT(refusal(folder / "disk" + std::string("\0x", 2)), Contains("NUL"));
  CHECK_FALSE(open_line_sink("log", std::string("/tmp/\0x", 7)).ok());
}

TEST_CASE("A line sink is created private, and an existing one is not truncated") {
  const Folder folder;
  const ::mode_t mask = ::umask(0);
  const auto created = open_line_sink("log", folder / "log");
  ::umask(mask);
  REQUIRE(created.ok());
  struct stat status {};
  REQUIRE(::fstat(created.value().raw(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);

  std::ofstream(folder / "old") << "contents";
  REQUIRE(open_line_sink("log", folder / "old").ok());
  CHECK(std::filesystem::file_size(folder / "old") == 8);
}

TEST_CASE("A FIFO without a reader is a good line sink and never blocks") {
  const Folder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const auto sink = open_line_sink("log", folder / "fifo");
  REQUIRE(sink.ok());
  const std::string block(4096, 'x');
  ssize_t written = 1;
  for (int count = 0; count < 1000 && written > 0; ++count) {
    written = ::write(sink.value().raw(), block.data(), block.size());
  }
  CHECK(written == -1);
  CHECK(errno == EAGAIN);
}

TEST_CASE("A directory is no line sink") {
  const auto refused = open_line_sink("log", "/tmp");
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Contains("log '/tmp'"));
}

std::string stranger(int raw, Access access, FileKind kind = FileKind::Regular) {
  const Fd fd(raw);
  REQUIRE(fd.valid());
  const Status status = check_data_descriptor(fd.ref(), "thing", "descriptor 0", access, kind);
  return status.ok() ? "accepted" : status.error().text();
}

TEST_CASE("A stranger's descriptor is taken when it is what would have been opened") {
  const Folder folder;
  const std::string path = folder / "file";
  std::ofstream(path) << "x";
  CHECK(stranger(::open(path.c_str(), O_RDONLY), Access::ReadOnly) == "accepted");
  CHECK(stranger(::open(path.c_str(), O_RDWR), Access::ReadWrite, FileKind::Disk) == "accepted");
  CHECK(stranger(::open(path.c_str(), O_RDWR | O_APPEND), Access::ReadOnly) == "accepted");
}

TEST_CASE("A stranger's descriptor with another mode or of another kind is refused with the cause") {
  const Folder folder;
  const std::string path = folder / "file";
  std::ofstream(path) << "x";
  CHECK_THAT(stranger(::open(path.c_str(), O_RDONLY), Access::ReadWrite), Contains("Open it with O_RDWR"));
  CHECK_THAT(stranger(::open(path.c_str(), O_WRONLY), Access::ReadOnly), Contains("Open it with O_RDONLY"));
  CHECK_THAT(stranger(::open(path.c_str(), O_PATH), Access::ReadOnly), Contains("Open it with O_RDONLY"));
  CHECK_THAT(stranger(::open(path.c_str(), O_RDWR | O_APPEND), Access::ReadWrite), Contains("O_APPEND"));
  CHECK_THAT(stranger(::open("/dev/null", O_RDWR), Access::ReadWrite, FileKind::Disk),
             Contains("is a character device. Give a regular file or a block device"));
  CHECK_THAT(stranger(::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY), Access::ReadOnly),
             Contains("is a directory. Give a regular file"));
  CHECK_THAT(stranger(::socket(AF_UNIX, SOCK_STREAM, 0), Access::ReadWrite, FileKind::Disk), Contains("is a socket"));
}

TEST_CASE("A stranger's output becomes non-blocking; one that cannot be written, or a socket, is refused") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const Fd reader(ends[0]);
  auto writer = adopt_line_sink(Fd(ends[1]), "log file", "descriptor 1");
  REQUIRE(writer.ok());
  CHECK((::fcntl(writer.value().raw(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK_THAT(adopt_line_sink(Fd(::dup(reader.raw())), "log file", "x").error().text(),
             Contains("is not open for writing"));
  CHECK_THAT(adopt_line_sink(Fd(::socket(AF_UNIX, SOCK_STREAM, 0)), "log file", "x").error().text(),
             Contains("is a socket"));
}

}  // namespace
}  // namespace wisp
