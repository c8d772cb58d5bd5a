// JSON text in, a tree out, with limits.
//
// Bodies and configuration files come from outside, so parsing is strict where the standard leaves room: no byte order
// mark, no duplicate keys, no trailing text, at most kMaxJsonDepth levels. Nothing throws; a refusal is an Error that
// tells line and column.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace wisp::api {

using Json = nlohmann::json;

/// Objects and arrays inside each other; 126 arrays inside an object pass, one more does not.
inline constexpr std::size_t kMaxJsonDepth = 127;

Result<Json> parse_json(std::string_view text);

}  // namespace wisp::api
