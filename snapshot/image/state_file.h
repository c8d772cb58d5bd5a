// StateFile: a state file that has been read and verified as a whole (state_format.h).
//
//   const StateFile state = WISP_TRY(StateFile::open("/snap/state"));
//   (void)WISP_TRY(state.check_names(known));             // a section that nobody knows is refused
//   const auto bytes = state.section("vcpu/0");           // empty: the file has none
//   StateReader in("vcpu/0", *bytes);
//
// The file is untrusted. It is copied once, up to a limit, into memory of our own; nothing is believed that is not
// verified in that copy: magic, checksum of the header, version, architecture, sizes that add up to exactly the file,
// checksum of the rest, and every section with its name, length and checksum. Only then is there a StateFile. What the
// sections say is checked by those who read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/image/state_format.h"
#include "vmm/base/fd.h"

namespace wisp {

class StateFile {
 public:
  struct Section {
    std::string_view name;
    std::span<const std::byte> bytes;
  };

  static Result<StateFile> open(const std::string& path);
  /// `name` is for texts. The descriptor's position is neither used nor moved.
  static Result<StateFile> read(FdRef fd, const std::string& name);
  /// What the file would be if it held these bytes.
  static Result<StateFile> parse(std::vector<std::byte> bytes, const std::string& name);

  StateFile(StateFile&&) noexcept = default;
  StateFile& operator=(StateFile&&) noexcept = default;
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  std::optional<std::span<const std::byte>> section(std::string_view name) const;
  std::span<const Section> sections() const { return sections_; }
  /// Fails when the file has a section that is not among the names.
  Status check_names(std::span<const std::string_view> known) const;

  /// JSON text of whoever wrote the file; not parsed here.
  std::string_view manifest() const;
  SnapshotVersion version() const;
  /// The version of the program that wrote it: printable ASCII.
  std::string wisp_version() const;
  std::size_t size_bytes() const { return bytes_.size(); }
  const std::string& name() const { return name_; }

 private:
  StateFile(std::vector<std::byte> bytes, std::string name) : bytes_(std::move(bytes)), name_(std::move(name)) {}
  Status check_header();
  Status check_sizes() const;
  Status index_sections();
  Error refuse(ErrorCode code, const std::string& cause, const char* remedy) const;
  Error damaged(const std::string& cause) const;

  std::vector<std::byte> bytes_;  // sections_ point into it; a move keeps them valid
  std::string name_;
  StateHeader header_{};
  std::vector<Section> sections_;
};

}  // namespace wisp
