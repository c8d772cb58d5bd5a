#include "vmm/base/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace wisp {
namespace {

const char* kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a FIFO";
    case S_IFSOCK: return "a socket";
    case S_IFCHR: return "a character device";
    case S_IFBLK: return "a block device";
    case S_IFREG: return "a regular file";
    default: return "of an unknown kind";
  }
}

bool accepts(FileKind kind, mode_t mode) {
  const bool can_block = S_ISFIFO(mode) || S_ISSOCK(mode);
  switch (kind) {
    case FileKind::Regular: return S_ISREG(mode);
    case FileKind::BootImage: return !can_block;
    case FileKind::Disk: return !can_block && !S_ISDIR(mode);
  }
  return false;
}

Error refuse_path_with_nul(const std::string& object) {
  return Error(ErrorCode::InvalidArgument, "The path of the " + object + " contains a NUL byte. Give a plain path");
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    raw_ = std::exchange(other.raw_, -1);
  }
  return *this;
}

void Fd::reset() {
  if (raw_ >= 0) {
    ::close(std::exchange(raw_, -1));
  }
}

Result<Fd> duplicate(FdRef fd, const std::string& object) {
  Fd copy(::fcntl(fd.raw(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) {
    return Error::host(errno, "cannot duplicate the descriptor of " + object,
                       "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  return copy;
}

Result<Fd> open_data_file(const std::string& object, const std::string& path, Access access, FileKind kind) {
  if (path.find('\0') != std::string::npos) {
    return refuse_path_with_nul(object);
  }
  // O_NONBLOCK: opening a FIFO or a device must not block the only thread that serves every client.
  const int flags = (access == Access::ReadWrite ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  Fd fd(::open(path.c_str(), flags));
  if (!fd.valid()) {
    return Error::host(errno, "cannot open the " + object + " '" + path + "'");
  }
  struct stat status {};
  if (::fstat(fd.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the " + object + " '" + path + "'");
  }
  if (!accepts(kind, status.st_mode)) {
    return Error(ErrorCode::InvalidArgument, "the " + object + " '" + path + "' is " + kind_of(status.st_mode) +
                                                 ". Give a regular file" +
                                                 (kind == FileKind::Disk ? " or a block device" : ""));
  }
  return fd;
}

bool can_write_now(FdRef fd) {
  pollfd query{fd.raw(), POLLOUT, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & POLLOUT) != 0;
}

namespace {

Error refuse_descriptor(const std::string& object, const std::string& name, const std::string& cause,
                        const std::string& remedy) {
  return Error(ErrorCode::InvalidArgument, "the " + object + " '" + name + "' " + cause + ". " + remedy);
}

}  // namespace

Status check_data_descriptor(FdRef fd, const std::string& object, const std::string& name, Access access,
                             FileKind kind) {
  struct stat status {};
  const int flags = ::fcntl(fd.raw(), F_GETFL);
  if (flags < 0 || ::fstat(fd.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the " + object + " '" + name + "'");
  }
  const bool is_device = S_ISCHR(status.st_mode);
  if (!accepts(kind, status.st_mode) || is_device) {
    return refuse_descriptor(object, name, std::string("is ") + kind_of(status.st_mode),
                             kind == FileKind::Disk ? "Give a regular file or a block device" : "Give a regular file");
  }
  const int mode = flags & O_ACCMODE;
  if ((flags & O_PATH) != 0 || mode == O_WRONLY || (access == Access::ReadWrite && mode != O_RDWR)) {
    return refuse_descriptor(object, name, "is not open for what is done with it",
                             access == Access::ReadWrite ? "Open it with O_RDWR" : "Open it with O_RDONLY");
  }
  if ((flags & O_DIRECT) != 0 || (access == Access::ReadWrite && (flags & O_APPEND) != 0)) {
    return refuse_descriptor(object, name, "is open with O_DIRECT or O_APPEND", "Open it without these flags");
  }
  return {};
}

Result<Fd> adopt_line_sink(Fd fd, const std::string& object, const std::string& name) {
  struct stat status {};
  const int flags = ::fcntl(fd.raw(), F_GETFL);
  if (flags < 0 || ::fstat(fd.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the " + object + " '" + name + "'");
  }
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) {
    return refuse_descriptor(object, name, std::string("is ") + kind_of(status.st_mode),
                             "Give a regular file, a FIFO or a terminal");
  }
  if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_RDONLY) {
    return refuse_descriptor(object, name, "is not open for writing", "Open it with O_WRONLY or O_RDWR");
  }
  const bool can_wait = !S_ISREG(status.st_mode) && (flags & O_NONBLOCK) == 0;
  if (can_wait && ::fcntl(fd.raw(), F_SETFL, O_NONBLOCK) != 0) {
    return Error::host(errno, "cannot prepare the " + object + " '" + name + "'");
  }
  return fd;
}

Result<Fd> open_line_sink(const std::string& object, const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return refuse_path_with_nul(object);
  }
  // O_RDWR keeps a FIFO open without a reader; O_NONBLOCK keeps a full one from blocking us.
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600));
  if (!fd.valid()) {
    return Error::host(errno, "cannot open the " + object + " '" + path + "'");
  }
  return fd;
}

}  // namespace wisp
