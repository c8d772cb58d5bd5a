// JSON text to a tree and back, for the metadata store; the only place of this folder that parses JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace wisp::mmds {

using Json = nlohmann::json;

/// Strict: no byte order mark, no NUL, nothing behind the value, kMaxMetadataDepth levels at most. Never throws.
Result<Json> parse_document(std::string_view text);

/// Without blanks, keys sorted.
std::string write_document(const Json& value);

/// A node of a tree, and its piece of the text that write_document() made of the whole tree.
struct Place {
  const Json* node = nullptr;  ///< nullptr: there is no such node
  std::string_view text;
};

/// Follows a JSON pointer (RFC 6901).
Place follow_pointer(const Json& tree, std::string_view text, std::string_view pointer);

}  // namespace wisp::mmds
