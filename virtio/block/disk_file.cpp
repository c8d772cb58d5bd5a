#include "virtio/block/disk_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vmm/base/log.h"

namespace wisp {
namespace {

DeviceId make_device_id(const struct stat& status) {
  const std::string text =
      std::to_string(status.st_dev) + std::to_string(status.st_rdev) + std::to_string(status.st_ino);
  DeviceId id{};
  const std::size_t count = std::min(text.size(), id.size());
  std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(count), id.begin(),
                 [](char letter) { return static_cast<std::byte>(letter); });
  return id;
}

/// open_data_file opens without blocking; a request to a disk must block instead of failing with EAGAIN.
Status make_blocking(const Fd& file, const std::string& name) {
  const int flags = ::fcntl(file.raw(), F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
    return {};
  }
  if (flags < 0 || ::fcntl(file.raw(), F_SETFL, flags & O_ACCMODE) != 0) {
    return Error::host(errno, "cannot prepare the drive file '" + name + "'");
  }
  return {};
}

}  // namespace

Result<DiskFile> DiskFile::open(const DriveConfig& config) {
  const Access access = config.is_read_only ? Access::ReadOnly : Access::ReadWrite;
  Fd file = WISP_TRY(open_data_file("drive file", config.path_on_host, access, FileKind::Disk));
  return adopt(std::move(file), config.path_on_host, access);
}

Result<DiskFile> DiskFile::adopt_descriptor(Fd file, const std::string& name, Access access) {
  (void)WISP_TRY(check_data_descriptor(file.ref(), "drive file", name, access, FileKind::Disk));
  return adopt(std::move(file), name, access);
}

Result<DiskFile> DiskFile::adopt(Fd file, const std::string& name, Access access) {
  (void)WISP_TRY(make_blocking(file, name));
  struct stat status {};
  if (::fstat(file.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the drive file '" + name + "'");
  }
  // Not st_size: it is 0 for a block device.
  const off_t size_bytes = ::lseek(file.raw(), 0, SEEK_END);
  if (size_bytes < 0) {
    return Error::host(errno, "cannot find the size of the drive file '" + name + "'");
  }
  DiskFile disk(std::move(file), access);
  disk.sector_count_ = static_cast<std::uint64_t>(size_bytes) / kSectorSizeBytes;
  disk.device_id_ = make_device_id(status);
  if (const std::uint64_t rest = static_cast<std::uint64_t>(size_bytes) % kSectorSizeBytes; rest != 0) {
    WISP_LOG(Warn,
             "The size of the drive file '%s' is not a multiple of %llu bytes; its last %llu bytes are invisible.",
             name.c_str(), static_cast<unsigned long long>(kSectorSizeBytes), static_cast<unsigned long long>(rest));
  }
  return disk;
}

Result<DiskFile> DiskFile::duplicate() const {
  DiskFile copy(WISP_TRY(wisp::duplicate(file_.ref(), "a drive")), access_);
  copy.sector_count_ = sector_count_;
  copy.device_id_ = device_id_;
  return copy;
}

}  // namespace wisp
