#include "api/json_value.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

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

/// Builds the tree from the parser's events; returning false ends the parse.
class TreeBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit TreeBuilder(std::string_view text) : text_(text) {}

  bool null() override { return add(Json(nullptr)); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(value)); }
  bool number_float(number_float_t value, const string_t& /*digits*/) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return false; }  // not part of JSON text
  bool start_object(std::size_t /*elements*/) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      error_text_ = "duplicate field `" + name + "`";
      return false;
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*e*/) override {
    error_position_ = position;
    return false;
  }

  Json take() { return std::move(root_); }
  Error error() const {
    if (!error_text_.empty()) {
      return {ErrorCode::InvalidArgument, error_text_};
    }
    if (error_position_ > text_.size()) {
      return json_error("EOF while parsing a value", text_, text_.size());
    }
    return json_error("syntax error: expected a JSON value", text_, error_position_);
  }

 private:
  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    Json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (open_.size() == kMaxJsonDepth) {
      error_text_ = "recursion limit exceeded: more than " + std::to_string(kMaxJsonDepth) + " nested values";
      return false;
    }
    // The pointers stay good: a parent's container does not change while a child of it is open.
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  Json root_;
  std::vector<Json*> open_;
  std::string key_;
  std::string error_text_;
  std::size_t error_position_ = 0;
};

}  // namespace

Result<Json> parse_json(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) {
    return json_error("expected value, not a byte order mark", text, 1);
  }
  // The library takes a NUL byte for the end of the text; JSON has none.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return json_error("NUL byte in JSON text", text, nul + 1);
  }
  TreeBuilder builder(text);
  if (!Json::sax_parse(text, &builder)) {
    return builder.error();
  }
  return builder.take();
}

}  // namespace wisp::api
