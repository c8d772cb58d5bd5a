#include "snapshot/image/state_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "snapshot/image/crc64.h"
#include "snapshot/state/state_reader.h"
#include "vmm/base/checked.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

constexpr const char* kChecksumFailed = "CRC64 validation failed";
constexpr const char* kCopyAgain = "Copy the file again from where it was made, or make a new snapshot";
constexpr const char* kOtherFile = "Give the state file of a wisp snapshot made on this architecture";

bool is_printable(std::uint8_t letter) {
  return letter >= 0x20 && letter < 0x7f;
}

std::string size_limit_text() {
  return "Snapshot size exceeds limit of " + std::to_string(kMaxStateFileBytes) + " bytes";
}

/// Up to `limit` bytes from the start, fewer when the file ends before.
Result<std::vector<std::byte>> read_up_to(FdRef fd, const std::string& name, std::size_t limit) {
  std::vector<std::byte> bytes(limit);
  std::size_t filled = 0;
  while (filled < limit) {
    const ssize_t got = uninterrupted(
        [&] { return ::pread(fd.raw(), bytes.data() + filled, limit - filled, static_cast<off_t>(filled)); });
    if (got < 0) {
      return Error::host(errno, "cannot read the snapshot file '" + name + "'");
    }
    if (got == 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

Result<StateFile> StateFile::open(const std::string& path) {
  const Fd fd = WISP_TRY(open_data_file("snapshot file", path, Access::ReadOnly, FileKind::Regular));
  return read(fd.ref(), path);
}

Result<StateFile> StateFile::read(FdRef fd, const std::string& name) {
  struct stat status {};
  if (::fstat(fd.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the snapshot file '" + name + "'");
  }
  if (!S_ISREG(status.st_mode)) {
    return Error(ErrorCode::InvalidArgument, "the snapshot file '" + name + "' is not a regular file");
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > kMaxStateFileBytes) {
    return Error(ErrorCode::LimitExceeded, size_limit_text() + ". The file is '" + name + "'. " + kOtherFile);
  }
  // One byte more than there should be, so that a file that is growing is seen to be too long.
  return parse(WISP_TRY(read_up_to(fd, name, size + 1)), name);
}

Result<StateFile> StateFile::parse(std::vector<std::byte> bytes, const std::string& name) {
  StateFile file(std::move(bytes), name);
  (void)WISP_TRY(file.check_header());
  (void)WISP_TRY(file.check_sizes());
  (void)WISP_TRY(file.index_sections());
  return file;
}

Error StateFile::refuse(ErrorCode code, const std::string& cause, const char* remedy) const {
  return Error(code, cause + ". The file is '" + name_ + "'. " + remedy);
}

Error StateFile::damaged(const std::string& cause) const {
  return refuse(ErrorCode::Corrupt, cause, kCopyAgain);
}

// ---------------------------------------------------------------------------------------------------------------------
// Verification. From here on bytes_ does not change.

Status StateFile::check_header() {
  if (bytes_.size() > kMaxStateFileBytes) {
    return refuse(ErrorCode::LimitExceeded, size_limit_text(), kOtherFile);
  }
  if (bytes_.size() < sizeof(StateHeader)) {
    return damaged("The snapshot file has " + std::to_string(bytes_.size()) + " bytes, fewer than its header");
  }
  std::memcpy(&header_, bytes_.data(), sizeof(header_));
  if (std::memcmp(header_.magic.data(), kStateMagic.data(), header_.magic.size()) != 0) {
    Le64 number;
    std::memcpy(&number, header_.magic.data(), sizeof(number));
    return refuse(ErrorCode::Corrupt, "Magic value does not match arch: " + std::to_string(number.get()), kOtherFile);
  }
  if (crc64(std::span(bytes_).first(offsetof(StateHeader, header_checksum))) != header_.header_checksum) {
    return damaged(kChecksumFailed);
  }
  if (header_.version_major != kSnapshotVersion.major || header_.version_minor > kSnapshotVersion.minor) {
    return refuse(ErrorCode::Unsupported, "Invalid data version: " + version().text(),
                  "Use the version of wisp that made the snapshot, or make it again with this one");
  }
  if (header_.architecture != kOwnArch) {
    return refuse(ErrorCode::Unsupported,
                  "Magic value does not match arch: " + std::to_string(header_.architecture.get()) + " (ELF machine)",
                  kOtherFile);
  }
  const auto nul = std::ranges::find(header_.wisp_version, 0);
  if (!std::all_of(header_.wisp_version.begin(), nul, is_printable) ||
      !std::all_of(nul, header_.wisp_version.end(), [](std::uint8_t letter) { return letter == 0; }) ||
      !std::ranges::all_of(header_.reserved, [](std::uint8_t byte) { return byte == 0; })) {
    return damaged("The snapshot file's header holds values that it must not");
  }
  return {};
}

Status StateFile::check_sizes() const {
  const std::uint64_t size = bytes_.size();
  if (header_.file_bytes != size) {
    return damaged("The snapshot file has " + std::to_string(size) + " bytes, and its header says " +
                   std::to_string(header_.file_bytes.get()));
  }
  // The parts lie in this order with nothing between or behind them.
  const std::uint64_t manifest_bytes = header_.manifest_bytes;
  const bool fits = manifest_bytes <= kMaxManifestBytes && header_.section_count <= kMaxSections &&
                    header_.header_bytes == sizeof(StateHeader) && header_.manifest_offset == sizeof(StateHeader) &&
                    header_.sections_offset == sizeof(StateHeader) + manifest_bytes + 1 &&
                    header_.sections_offset <= size && header_.sections_bytes == size - header_.sections_offset;
  if (!fits) {
    return damaged("The sizes in the snapshot file's header do not fit together");
  }
  if (crc64(std::span(bytes_).subspan(sizeof(StateHeader))) != header_.rest_checksum) {
    return damaged(kChecksumFailed);
  }
  if (bytes_[header_.sections_offset - 1] != static_cast<std::byte>('\n') || manifest().find('\0') != manifest().npos) {
    return damaged("The snapshot file's manifest is not text that ends in a newline");
  }
  return {};
}

Status StateFile::index_sections() {
  auto rest = std::span<const std::byte>(bytes_).subspan(header_.sections_offset);
  for (std::uint32_t index = 0; index < header_.section_count; ++index) {
    StateReader head("head", rest);
    const std::size_t name_bytes = head.u16();
    const std::size_t data_bytes = head.u32();
    const std::size_t checked_bytes = kSectionHeadBytes + name_bytes + data_bytes;  // below 2^33: cannot wrap
    if (!head.check(true, {}).ok() || !range_fits(checked_bytes, kChecksumBytes, rest.size())) {
      return damaged("Section " + std::to_string(index) + " of the snapshot file is longer than the file");
    }
    StateReader tail("tail", rest.subspan(checked_bytes, kChecksumBytes));
    if (crc64(rest.first(checked_bytes)) != tail.u64()) {
      return damaged(std::string(kChecksumFailed) + " for section " + std::to_string(index));
    }
    const auto name = rest.subspan(kSectionHeadBytes, name_bytes);
    const Section found{{reinterpret_cast<const char*>(name.data()), name.size()},
                        rest.subspan(kSectionHeadBytes + name_bytes, data_bytes)};
    if (!is_section_name(found.name) || section(found.name)) {
      return damaged("Section " + std::to_string(index) + " of the snapshot file has no valid name of its own");
    }
    sections_.push_back(found);
    rest = rest.subspan(checked_bytes + kChecksumBytes);
  }
  return rest.empty() ? Status() : damaged("Bytes follow the last section of the snapshot file");
}

// ---------------------------------------------------------------------------------------------------------------------
// Use.

std::optional<std::span<const std::byte>> StateFile::section(std::string_view name) const {
  const auto found = std::ranges::find(sections_, name, &Section::name);
  return found == sections_.end() ? std::nullopt : std::optional(found->bytes);
}

Status StateFile::check_names(std::span<const std::string_view> known) const {
  for (const Section& each : sections_) {
    if (std::ranges::find(known, each.name) == known.end()) {
      return refuse(ErrorCode::Unsupported,
                    "The snapshot has a section that is not known: '" + std::string(each.name) + "'",
                    "Use the version of wisp that made the snapshot");
    }
  }
  return {};
}

std::string_view StateFile::manifest() const {
  return {reinterpret_cast<const char*>(bytes_.data()) + header_.manifest_offset, header_.manifest_bytes};
}

SnapshotVersion StateFile::version() const {
  return {header_.version_major, header_.version_minor, header_.version_patch};
}

std::string StateFile::wisp_version() const {
  const auto nul = std::ranges::find(header_.wisp_version, 0);
  return {header_.wisp_version.begin(), nul};
}

}  // namespace wisp
