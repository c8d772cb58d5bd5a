// Writes compact JSON with the keys in the order of the calls.
//
//   JsonWriter json;
//   json.open_object().key("vcpu_count").number(2).key("smt").truth(false).close_object();
//
// Text that is not UTF-8 (it can come from file names in error texts) is written with U+FFFD in place of each bad byte,
// so that an answer is valid JSON whatever it reports.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace wisp::api {

class JsonWriter {
 public:
  JsonWriter& open_object() { return open('{'); }
  JsonWriter& close_object() { return close('}'); }
  JsonWriter& open_array() { return open('['); }
  JsonWriter& close_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view text);
  JsonWriter& number(std::uint64_t value) { return raw(std::to_string(value)); }
  JsonWriter& truth(bool value) { return raw(value ? "true" : "false"); }
  JsonWriter& null() { return raw("null"); }
  /// The text, or null.
  JsonWriter& optional_string(const std::optional<std::string>& text) { return text ? string(*text) : null(); }

  template <typename T>
  JsonWriter& optional_number(const std::optional<T>& value) {
    return value ? number(*value) : null();
  }

  std::string take() { return std::exchange(out_, {}); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& raw(std::string_view text);
  void separate();
  void append_escaped(char byte);

  std::string out_;
  bool needs_comma_ = false;
};

}  // namespace wisp::api
