// DiskFile: the open host file or block device behind a drive.
//
//   DiskFile file = WISP_TRY(DiskFile::open(config));        // at PUT /drives: opened and checked once
//   ... BlockDevice::create(config, std::move(file), loop);  // at the start: the very same descriptor
//
// Raw bytes only: the contents are never looked at to find a format, because the guest writes them. The size is taken
// when the file is opened; a rest that is not a whole sector is invisible to the guest. The file is never mapped, so
// one that shrinks later makes reads short (an I/O error for the guest), not a SIGBUS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/config/drive.h"

namespace wisp {

inline constexpr std::uint64_t kSectorSizeBytes = 512;
/// Length of the identification string (virtio 1.2 section 5.2.6.1).
inline constexpr std::size_t kDeviceIdBytes = 20;
using DeviceId = std::array<std::byte, kDeviceIdBytes>;

class DiskFile {
 public:
  /// Opens config.path_on_host for reading, and for writing unless config.is_read_only.
  static Result<DiskFile> open(const DriveConfig& config);
  /// Takes an open regular file or block device. `name` is used in messages.
  static Result<DiskFile> adopt(Fd file, const std::string& name, Access access);

  /// The same with a descriptor that a stranger has opened: what it is gets checked first.
  static Result<DiskFile> adopt_descriptor(Fd file, const std::string& name, Access access);

  /// A second descriptor of the same open file: a machine that fails to start must not take the drive with it.
  Result<DiskFile> duplicate() const;

  FdRef ref() const { return file_.ref(); }
  Access access() const { return access_; }
  std::uint64_t sector_count() const { return sector_count_; }
  /// The decimal device, rdev and inode numbers in a row, cut and zero-padded.
  const DeviceId& device_id() const { return device_id_; }

 private:
  DiskFile(Fd file, Access access) : file_(std::move(file)), access_(access) {}

  Fd file_;
  Access access_;
  std::uint64_t sector_count_ = 0;
  DeviceId device_id_{};
};

}  // namespace wisp
