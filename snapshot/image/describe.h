// What a state file holds, for people: `wisp --describe-snapshot`.
#pragma once

#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace wisp {

/// Version, writer, sizes, each section with its length, and the manifest, indented. A file that load would refuse is
/// refused with the same text. Whatever the file holds, the text is printable ASCII and newlines.
Result<std::string> describe_snapshot(const std::string& path);

/// JSON text with one member on each line. Text that is no JSON comes out in some shape, but with nothing lost; bytes
/// that a terminal might act on come out as \xNN.
std::string indent_json(std::string_view json);

}  // namespace wisp
