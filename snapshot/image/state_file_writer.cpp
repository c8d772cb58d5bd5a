#include "snapshot/image/state_file_writer.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "snapshot/image/crc64.h"
#include "snapshot/image/state_format.h"
#include "snapshot/state/state_writer.h"
#include "vmm/base/assert.h"
#include "vmm/base/version.h"

namespace wisp {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Error too_large(const char* what, std::size_t limit_bytes) {
  return Error(ErrorCode::LimitExceeded,
               std::string(what) + " size exceeds limit of " + std::to_string(limit_bytes) + " bytes");
}

StateHeader describe(std::size_t section_count, std::size_t manifest_bytes, std::span<const std::byte> rest) {
  StateHeader header;
  std::memcpy(header.magic.data(), kStateMagic.data(), header.magic.size());
  header.version_major = kSnapshotVersion.major;
  header.version_minor = kSnapshotVersion.minor;
  header.version_patch = kSnapshotVersion.patch;
  header.architecture = kOwnArch;
  constexpr std::string_view version = kWispVersion;
  static_assert(version.size() <= kWispVersionBytes);
  std::memcpy(header.wisp_version.data(), version.data(), version.size());
  header.header_bytes = sizeof(StateHeader);
  header.section_count = static_cast<std::uint32_t>(section_count);
  header.manifest_offset = sizeof(StateHeader);
  header.manifest_bytes = manifest_bytes;
  header.sections_offset = sizeof(StateHeader) + manifest_bytes + 1;
  header.sections_bytes = rest.size() - manifest_bytes - 1;
  header.file_bytes = sizeof(StateHeader) + rest.size();
  header.rest_checksum = crc64(rest);
  header.header_checksum = crc64(std::as_bytes(std::span(&header, 1)).first(offsetof(StateHeader, header_checksum)));
  return header;
}

}  // namespace

void StateFileWriter::add_section(std::string name, std::vector<std::byte> bytes) {
  WISP_ASSERT(is_section_name(name) && sections_.size() < kMaxSections);
  WISP_ASSERT(std::ranges::none_of(sections_, [&name](const Section& each) { return each.name == name; }));
  sections_.push_back({std::move(name), std::move(bytes)});
}

Result<std::vector<std::byte>> StateFileWriter::encode(std::string_view manifest) const {
  if (manifest.size() > kMaxManifestBytes) {
    return too_large("Snapshot manifest", kMaxManifestBytes);
  }
  std::size_t total = sizeof(StateHeader) + manifest.size() + 1;
  for (const Section& section : sections_) {
    if (section.bytes.size() > kMaxStateFileBytes) {
      return too_large("Snapshot", kMaxStateFileBytes);
    }
    total += kSectionHeadBytes + section.name.size() + section.bytes.size() + kChecksumBytes;
  }
  if (total > kMaxStateFileBytes) {
    return too_large("Snapshot", kMaxStateFileBytes);
  }
  StateWriter out;
  out.raw(std::vector<std::byte>(sizeof(StateHeader)));
  out.raw(bytes_of(manifest));
  out.raw(bytes_of("\n"));
  for (const Section& section : sections_) {
    const std::size_t start = out.size_bytes();
    out.u16(static_cast<std::uint16_t>(section.name.size()));
    out.u32(static_cast<std::uint32_t>(section.bytes.size()));
    out.raw(bytes_of(section.name));
    out.raw(section.bytes);
    out.u64(crc64(out.data().subspan(start)));
  }
  std::vector<std::byte> bytes = std::move(out).take();
  const auto rest = std::span(bytes).subspan(sizeof(StateHeader));
  const StateHeader header = describe(sections_.size(), manifest.size(), rest);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

Status StateFileWriter::write(std::string_view manifest, AtomicFile& out) const {
  const std::vector<std::byte> bytes = WISP_TRY(encode(manifest));
  (void)WISP_TRY(out.set_size(0));
  return out.write_at(0, std::span(bytes));
}

Status StateFileWriter::publish(std::string_view manifest, AtomicFile& out) const {
  (void)WISP_TRY(write(manifest, out));
  return out.publish();
}

}  // namespace wisp
