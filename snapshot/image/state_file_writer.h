// StateFileWriter: puts a snapshot's state file together (state_format.h).
//
//   StateFileWriter state;
//   state.add_section("vcpu/0", std::move(writer).take());
//   AtomicFile file = WISP_TRY(AtomicFile::create(kStateFile, path));
//   (void)WISP_TRY(state.write(manifest_json, file));
//   (void)WISP_TRY(AtomicFile::publish_together(memory_file, file));
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/image/atomic_file.h"

namespace wisp {

class StateFileWriter {
 public:
  /// Our own names (asserted: is_section_name(), each once, at most kMaxSections). Device ids that users choose belong
  /// into the section's bytes or the manifest.
  void add_section(std::string name, std::vector<std::byte> bytes);

  /// `manifest` is JSON text for people and tools. Fails when the whole exceeds a limit of state_format.h.
  Result<std::vector<std::byte>> encode(std::string_view manifest) const;

  /// encode() into a file that is empty or is replaced; publishing it is the caller's.
  Status write(std::string_view manifest, AtomicFile& out) const;
  /// The same, and published.
  Status publish(std::string_view manifest, AtomicFile& out) const;

 private:
  struct Section {
    std::string name;
    std::vector<std::byte> bytes;
  };
  std::vector<Section> sections_;
};

}  // namespace wisp
