// UTF-8, as far as the API needs it: is a text well formed, and may a character stand in a resource id?
//
// Ids of drives and other devices consist of alphanumeric characters and underscores, where alphanumeric is meant in
// the Unicode sense: a drive may have a French or an Arabic name. The table behind it was drawn from the general
// categories L and N of Unicode 14; unassigned code points between two letters count as letters, which keeps the table
// small.
#pragma once

#include <cstddef>
#include <string_view>

namespace wisp::api {

struct DecodedCharacter {
  char32_t code_point = 0;
  std::size_t length_bytes = 0;  ///< 0: not well-formed UTF-8
};

/// The first character of a text that is not empty. Over-long forms, surrogates and values above U+10FFFF are
/// malformed.
DecodedCharacter decode_character(std::string_view text);

bool is_utf8(std::string_view text);

bool is_alphanumeric(char32_t code_point);

/// Only alphanumeric characters and underscores; an empty text has no wrong character.
bool has_only_id_characters(std::string_view text);

}  // namespace wisp::api
