#include "api/json_value.h"

#include <nlohmann/json.hpp>

#include "vmm/json/tree_builder.h"

namespace wisp::api {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct Position {
  std::size_t line = 1;
  std::size_t column = 0;
};

/// Where the first `length` bytes of `text` end.
Position position_after(std::string_view text, std::size_t length) {
  Position position;
  for (const char byte : text.substr(0, length)) {
    if (byte == '\n') {
      ++position.line;
      position.column = 0;
    } else {
      ++position.column;
    }
  }
  return position;
}

Error json_error(const std::string& what, std::string_view text, std::size_t length) {
  const Position position = position_after(text, length);
  return {ErrorCode::InvalidArgument,
          what + " at line " + std::to_string(position.line) + " column " + std::to_string(position.column)};
}

Error error_of(const JsonProblem& problem, std::string_view text) {
  if (!problem.rule.empty()) {
    return {ErrorCode::InvalidArgument, problem.rule};
  }
  if (problem.syntax_position_bytes > text.size()) {
    return json_error("EOF while parsing a value", text, text.size());
  }
  return json_error("syntax error: expected a JSON value", text, problem.syntax_position_bytes);
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) {
    return json_error("expected value, not a byte order mark", text, 1);
  }
  // The library takes a NUL byte for the end of the text; JSON has none.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return json_error("NUL byte in JSON text", text, nul + 1);
  }
  TreeBuilder<Json> builder({.max_depth = kMaxJsonDepth, .duplicates = DuplicateKeys::Refused});
  if (!Json::sax_parse(text, &builder)) {
    return error_of(builder.problem(), text);
  }
  return builder.take();
}

}  // namespace wisp::api
