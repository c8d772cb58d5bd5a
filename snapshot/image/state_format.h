// The layout of a state file, byte for byte (docs/snapshot-format.md says the same for readers in other languages).
//
//   header (128 bytes) | manifest, JSON text | newline | section | section | ...
//   section: name length u16 | data length u32 | name | data | CRC-64 of all that u64
//
// Integers are little-endian. The header's own layout and its checksum do not change with the version, so every
// version of a reader can say which version wrote a file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/base/endian.h"

namespace wisp {

/// A reader takes files of its own major version with a minor version of at most its own. The patch is for people.
struct SnapshotVersion {
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
  std::uint16_t patch = 0;

  std::string text() const { return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch); }
};
inline constexpr SnapshotVersion kSnapshotVersion{1, 1, 0};

/// ELF's machine number.
inline constexpr std::uint16_t kArchX86_64 = 62;
inline constexpr std::uint16_t kOwnArch = kArchX86_64;

inline constexpr std::size_t kMaxStateFileBytes = 10'000'000;
inline constexpr std::size_t kMaxManifestBytes = 1024 * 1024;
inline constexpr std::size_t kMaxSections = 1024;
inline constexpr std::size_t kMaxSectionNameBytes = 64;
inline constexpr std::size_t kWispVersionBytes = 24;

inline constexpr std::string_view kStateMagic = "WISPSNAP";
inline constexpr std::size_t kSectionHeadBytes = 6;
inline constexpr std::size_t kChecksumBytes = 8;

struct StateHeader {
  std::array<std::uint8_t, 8> magic{};
  Le16 version_major;
  Le16 version_minor;
  Le16 version_patch;
  Le16 architecture;
  std::array<std::uint8_t, kWispVersionBytes> wisp_version{};  // printable ASCII, filled up with zeros
  Le32 header_bytes;
  Le32 section_count;
  Le64 manifest_offset;
  Le64 manifest_bytes;  // without the newline
  Le64 sections_offset;
  Le64 sections_bytes;
  Le64 file_bytes;
  Le64 rest_checksum;                       // of everything behind the header
  std::array<std::uint8_t, 24> reserved{};  // zeros
  Le64 header_checksum;                     // of the 120 bytes before
};
static_assert(sizeof(StateHeader) == 128 && offsetof(StateHeader, header_bytes) == 40);
static_assert(offsetof(StateHeader, rest_checksum) == 88 && offsetof(StateHeader, header_checksum) == 120);

/// 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.' and '/'.
constexpr bool is_section_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxSectionNameBytes) {
    return false;
  }
  for (const char letter : name) {
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    const bool is_word = is_letter || (letter >= '0' && letter <= '9') || letter == '_';
    if (!is_word && letter != '-' && letter != '.' && letter != '/') {
      return false;
    }
  }
  return true;
}

}  // namespace wisp
