#include "api/json_writer.h"

#include <array>
#include <cstdio>

#include "api/unicode.h"

namespace wisp::api {
namespace {

constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

}  // namespace

void JsonWriter::separate() {
  if (needs_comma_) {
    out_ += ',';
  }
  needs_comma_ = true;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view text) {
  separate();
  out_ += text;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  string(name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

void JsonWriter::append_escaped(char byte) {
  switch (byte) {
    case '"': out_ += "\\\""; return;
    case '\\': out_ += "\\\\"; return;
    case '\n': out_ += "\\n"; return;
    case '\r': out_ += "\\r"; return;
    case '\t': out_ += "\\t"; return;
    default: break;
  }
  if (static_cast<unsigned char>(byte) < 0x20) {
    std::array<char, 7> escape{};
    std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
    out_ += escape.data();
    return;
  }
  out_ += byte;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  separate();
  out_ += '"';
  while (!text.empty()) {
    const DecodedCharacter character = decode_character(text);
    if (character.length_bytes == 0) {
      out_ += kReplacementCharacter;
      text.remove_prefix(1);
      continue;
    }
    if (character.length_bytes == 1) {
      append_escaped(text.front());
    } else {
      out_ += text.substr(0, character.length_bytes);
    }
    text.remove_prefix(character.length_bytes);
  }
  out_ += '"';
  return *this;
}

}  // namespace wisp::api
