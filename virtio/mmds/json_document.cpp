#include "virtio/mmds/json_document.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>
#include <vector>

#include "virtio/mmds/metadata_store.h"
#include "vmm/json/tree_builder.h"

namespace wisp::mmds {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// The length of the string that `text` begins with, quotes included. The text is our own writer's, so it is well
/// formed.
std::size_t string_length(std::string_view text) {
  std::size_t index = 1;
  while (text[index] != '"') {
    index += text[index] == '\\' ? 2U : 1U;
  }
  return index + 1;
}

/// The length of the value that `text` begins with.
std::size_t value_length(std::string_view text) {
  std::size_t index = 0;
  std::size_t depth = 0;
  do {
    const char first = text[index];
    if (first == '"') {
      index += string_length(text.substr(index));
    } else {
      depth += first == '{' || first == '[' ? 1U : 0U;
      depth -= first == '}' || first == ']' ? 1U : 0U;
      ++index;
    }
    // A number or a word ends where the next mark stands.
  } while (index < text.size() && (depth > 0 || (text[index] != ',' && text[index] != '}' && text[index] != ']')));
  return index;
}

enum class Members { Named, Numbered };

/// The text of member `number` of the object or array that `text` begins with.
std::string_view member_text(std::string_view text, std::size_t number, Members members) {
  text.remove_prefix(1);
  while (true) {
    if (members == Members::Named) {
      text.remove_prefix(string_length(text) + 1);
    }
    const std::size_t length = value_length(text);
    if (number-- == 0) {
      return text.substr(0, length);
    }
    text.remove_prefix(length + 1);
  }
}

/// RFC 6901 section 4: "~1" is "/", then "~0" is "~".
std::string unescaped(std::string_view token) {
  std::string name;
  for (std::size_t index = 0; index < token.size(); ++index) {
    const char next = token[index] == '~' && index + 1 < token.size() ? token[index + 1] : '\0';
    if (next == '0' || next == '1') {
      name += next == '1' ? '/' : '~';
      ++index;
    } else {
      name += token[index];
    }
  }
  return name;
}

Place object_member(const Place& place, const std::string& name) {
  const auto& object = place.node->get_ref<const Json::object_t&>();
  const auto found = object.find(name);
  if (found == object.end()) {
    return {};
  }
  const auto number = static_cast<std::size_t>(std::distance(object.begin(), found));
  return {&found->second, member_text(place.text, number, Members::Named)};
}

Place array_member(const Place& place, const std::string& name) {
  std::size_t number = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
  // RFC 6901 section 4: no leading zeros.
  const bool is_index = problem == std::errc() && end == name.data() + name.size() && (name[0] != '0' || name == "0");
  if (!is_index || number >= place.node->size()) {
    return {};
  }
  return {&place.node->get_ref<const Json::array_t&>()[number], member_text(place.text, number, Members::Numbered)};
}

}  // namespace

Result<Json> parse_document(std::string_view text) {
  // The library skips the one and takes the other for the end of the text; JSON has neither (RFC 8259 section 8.1).
  if (text.starts_with(kByteOrderMark) || text.find('\0') != std::string_view::npos) {
    return Error(ErrorCode::InvalidArgument, "The metadata is not JSON: byte order mark or NUL byte.");
  }
  TreeBuilder<Json> builder({.max_depth = kMaxMetadataDepth, .duplicates = DuplicateKeys::LastWins});
  if (!Json::sax_parse(text, &builder)) {
    const auto& [rule, position] = builder.problem();
    return Error(ErrorCode::InvalidArgument,
                 "The metadata is not JSON: " +
                     (rule.empty() ? "syntax error at byte " + std::to_string(position) : rule) + ".");
  }
  return builder.take();
}

std::string write_document(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Place follow_pointer(const Json& tree, std::string_view text, std::string_view pointer) {
  Place place{&tree, text};
  while (!pointer.empty() && place.node != nullptr) {
    if (pointer.front() != '/') {
      return {};
    }
    pointer.remove_prefix(1);
    const std::string name = unescaped(pointer.substr(0, pointer.find('/')));
    pointer.remove_prefix(std::min(pointer.find('/'), pointer.size()));
    if (place.node->is_object()) {
      place = object_member(place, name);
    } else {
      place = place.node->is_array() ? array_member(place, name) : Place{};
    }
  }
  return place;
}

}  // namespace wisp::mmds
