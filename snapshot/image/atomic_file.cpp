#include "snapshot/image/atomic_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "snapshot/image/extents.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

constexpr std::uint64_t kWriteStepBytes = 8 * 1024 * 1024;
constexpr int kNameAttempts = 16;
constexpr mode_t kPermissionBits = 0777;

std::string random_name() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(number))) {
    number = static_cast<std::uint64_t>(::getpid());  // only has to be unused; O_EXCL decides
  }
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), ".wisp-%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

const char* advice(int sys_errno) {
  switch (sys_errno) {
    case ENOSPC:
    case EDQUOT: return "Free space there or name another place";
    case EFBIG: return "Raise the limit on the size of files (RLIMIT_FSIZE)";
    case EROFS: return "Name a place that can be written";
    case EACCES:
    case EPERM: return "Let the monitor's user write there";
    case ENOENT:
    case ENOTDIR: return "Make its directory first";
    case EFAULT: return "The guest's memory cannot be read: the file behind it may have become shorter";
    default: return "";
  }
}

}  // namespace

AtomicFile::AtomicFile(std::string object, std::string shown_name, FileCalls& calls)
    : calls_(&calls), object_(std::move(object)), shown_name_(std::move(shown_name)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : calls_(other.calls_),
      object_(std::move(other.object_)),
      shown_name_(std::move(other.shown_name_)),
      name_(std::move(other.name_)),
      hidden_(std::move(other.hidden_)),
      directory_(std::move(other.directory_)),
      file_(std::move(other.file_)),
      mode_(other.mode_),
      present_owner_(other.present_owner_),
      size_bytes_(other.size_bytes_),
      place_(std::exchange(other.place_, Place::Nowhere)) {}

Error AtomicFile::failed(std::string_view operation, int sys_errno) const {
  std::string where = "The file is '" + shown_name_ + "'";
  if (const std::string remedy = advice(sys_errno); !remedy.empty()) {
    where += ". " + remedy;
  }
  return Error::host(sys_errno, "Cannot perform " + std::string(operation) + " on the " + object_, where);
}

// ---------------------------------------------------------------------------------------------------------------------
// Creation.

Result<AtomicFile> AtomicFile::create(const std::string& object, const std::string& path, FileCalls& calls) {
  AtomicFile file(object, path, calls);
  std::uint64_t present_bytes = 0;
  (void)WISP_TRY(file.open_directory(path));
  (void)WISP_TRY(file.look_at_present(&present_bytes));
  (void)WISP_TRY(file.open_hidden());
  return file;
}

Result<AtomicFile> AtomicFile::create_keeping(const std::string& object, const std::string& path,
                                              std::uint64_t size_bytes, FileCalls& calls) {
  AtomicFile file(object, path, calls);
  std::uint64_t present_bytes = 0;
  (void)WISP_TRY(file.open_directory(path));
  (void)WISP_TRY(file.look_at_present(&present_bytes));
  (void)WISP_TRY(file.open_hidden());
  if (present_bytes == size_bytes && size_bytes > 0) {
    (void)WISP_TRY(file.copy_present(size_bytes));
  }
  return file;
}

Result<AtomicFile> AtomicFile::over(const std::string& object, Fd descriptor, FileCalls& calls) {
  AtomicFile file(object, "descriptor " + std::to_string(descriptor.raw()), calls);
  struct stat status {};
  if (::fstat(descriptor.raw(), &status) != 0) {
    return file.failed("metadata", errno);
  }
  const int flags = ::fcntl(descriptor.raw(), F_GETFL);
  if (!S_ISREG(status.st_mode) || flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_APPEND) != 0) {
    return Error(ErrorCode::InvalidArgument, "The " + object + " (" + file.name() +
                                                 ") cannot be written at any place. Give a regular file, opened for "
                                                 "writing and without O_APPEND");
  }
  file.size_bytes_ = static_cast<std::uint64_t>(status.st_size);
  file.file_ = std::move(descriptor);
  return file;
}

Status AtomicFile::open_directory(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  name_ = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (name_.empty() || name_ == "." || name_ == ".." || path.find('\0') != std::string::npos) {
    return Error(ErrorCode::InvalidArgument, "The path of the " + object_ + ", '" + path + "', names no file");
  }
  directory_ = Fd(calls_->open_at(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  return directory_.valid() ? Status() : failed("open", errno);
}

Status AtomicFile::look_at_present(std::uint64_t* size_bytes) {
  struct stat status {};
  if (::fstatat(directory_.raw(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Status() : failed("metadata", errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return Error(ErrorCode::InvalidArgument, "The " + object_ + " '" + shown_name_ +
                                                 "' exists and is not a regular file. Give the path of a regular "
                                                 "file (not of a link to one), or of none");
  }
  mode_ = status.st_mode & kPermissionBits;
  present_owner_ = Owner{status.st_uid, status.st_gid};
  *size_bytes = static_cast<std::uint64_t>(status.st_size);
  return {};
}

Status AtomicFile::keep_owner() {
  if (present_owner_ && ::fchown(file_.raw(), present_owner_->user, present_owner_->group) != 0) {
    return Error::host(errno, "Cannot give the new " + object_ + " the owner of '" + shown_name_ + "'",
                       "Do it as that user, or as root");
  }
  return {};
}

Status AtomicFile::open_hidden() {
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    hidden_ = random_name();
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    file_ = Fd(calls_->open_at(directory_.raw(), hidden_.c_str(), flags, mode_ | S_IRUSR | S_IWUSR));
    if (file_.valid()) {
      place_ = Place::Hidden;
      return {};
    }
    if (errno != EEXIST) {
      break;
    }
  }
  return failed("open", errno);
}

Status AtomicFile::copy_present(std::uint64_t size_bytes) {
  const Fd present(calls_->open_at(directory_.raw(), name_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0));
  if (!present.valid()) {
    return failed("open", errno);
  }
  (void)WISP_TRY(set_size(size_bytes));
  const auto extents = WISP_TRY(data_extents(present.ref(), shown_name_, 0, size_bytes));
  for (const Extent& extent : extents) {
    if (const int sys_errno = copy_extent(*calls_, present.ref(), file_.ref(), extent); sys_errno != 0) {
      return failed("write", sys_errno);
    }
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Contents.

Status AtomicFile::set_size(std::uint64_t size_bytes) {
  if (calls_->set_size(file_.raw(), size_bytes) != 0) {
    return failed("set_length", errno);
  }
  size_bytes_ = size_bytes;
  return {};
}

Status AtomicFile::write_at(std::uint64_t offset, iovec bytes) {
  auto* start = static_cast<std::byte*>(bytes.iov_base);
  std::size_t left = bytes.iov_len;
  while (left > 0) {
    const iovec step{start, std::min<std::uint64_t>(left, kWriteStepBytes)};
    const ssize_t written = uninterrupted([&] { return calls_->write_at(file_.raw(), &step, 1, offset); });
    if (written <= 0) {
      return failed("write", written < 0 ? errno : EIO);
    }
    const auto count = static_cast<std::size_t>(written);
    if (count == kWriteStepBytes) {
      (void)::sync_file_range(file_.raw(), static_cast<off_t>(offset), static_cast<off_t>(count),
                              SYNC_FILE_RANGE_WRITE);
    }
    start += count;
    left -= count;
    offset += count;
  }
  size_bytes_ = std::max(size_bytes_, offset);
  return {};
}

Status AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  return write_at(offset, iovec{const_cast<std::byte*>(bytes.data()), bytes.size()});
}

// ---------------------------------------------------------------------------------------------------------------------
// Publication.

Status AtomicFile::sync(std::string_view operation, FdRef fd) {
  return uninterrupted([&] { return calls_->sync(fd.raw()); }) == 0 ? Status() : failed(operation, errno);
}

Status AtomicFile::place() {
  if (place_ != Place::Hidden) {
    return {};
  }
  const auto rename = [this](unsigned flags) {
    return calls_->rename_at(directory_.raw(), hidden_.c_str(), name_.c_str(), flags) == 0;
  };
  if (rename(RENAME_EXCHANGE)) {
    place_ = Place::Exchanged;
    return {};
  }
  if (errno == ENOENT && rename(RENAME_NOREPLACE)) {
    place_ = Place::New;
    return {};
  }
  if ((errno == EINVAL || errno == ENOSYS) && rename(0)) {
    place_ = Place::Replaced;
    return {};
  }
  return failed("rename", errno);
}

Status AtomicFile::settle() {
  return is_atomic() ? sync("sync_all", directory_.ref()) : Status();
}

void AtomicFile::finish() {
  if (place_ == Place::Exchanged) {
    (void)calls_->unlink_at(directory_.raw(), hidden_.c_str());
  }
  place_ = Place::Nowhere;
}

void AtomicFile::take_back() {
  const Place place = std::exchange(place_, Place::Nowhere);
  const int directory = directory_.raw();
  if (place == Place::Exchanged && calls_->rename_at(directory, hidden_.c_str(), name_.c_str(), RENAME_EXCHANGE) != 0) {
    return;  // the hidden file is the old one: it stays
  }
  if (place == Place::Hidden || place == Place::Exchanged) {
    (void)calls_->unlink_at(directory, hidden_.c_str());
  }
  if (place == Place::New) {
    (void)calls_->unlink_at(directory, name_.c_str());
  }
}

Status AtomicFile::publish() {
  (void)WISP_TRY(sync("sync_all", file_.ref()));
  (void)WISP_TRY(place());
  Status settled = settle();
  if (!settled.ok()) {
    take_back();
    return settled;
  }
  finish();
  return {};
}

Status AtomicFile::publish_together(AtomicFile& first, AtomicFile& second) {
  // Both on their way before either is waited for: a file system with a journal then needs one commit, not two.
  (void)::sync_file_range(second.file_.raw(), 0, 0, SYNC_FILE_RANGE_WRITE);
  (void)WISP_TRY(first.sync("sync_all", first.file_.ref()));
  (void)WISP_TRY(second.sync("sync_all", second.file_.ref()));
  Status done = first.place();
  for (auto step : {&AtomicFile::place, &AtomicFile::settle}) {
    done = done.ok() ? (second.*step)() : std::move(done);
  }
  done = done.ok() ? first.settle() : std::move(done);
  if (!done.ok()) {
    second.take_back();
    first.take_back();
    return done;
  }
  second.finish();
  first.finish();
  return {};
}

}  // namespace wisp
