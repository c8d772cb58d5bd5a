#include "api/unicode.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace wisp::api {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

constexpr Range kAlphanumericRanges[] = {
#include "api/unicode_alphanumeric.inc"
};

struct LeadByte {
  std::uint8_t mask;
  std::uint8_t value;
  std::uint8_t length_bytes;
  std::uint32_t smallest;  // a smaller code point in this length is an over-long form
};

constexpr std::array<LeadByte, 4> kLeadBytes = {{
    {0x80, 0x00, 1, 0},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
}};

constexpr std::uint32_t kMaxCodePoint = 0x10ffff;

bool is_surrogate(std::uint32_t code_point) {
  return code_point >= 0xd800 && code_point <= 0xdfff;
}

DecodedCharacter decode_as(const LeadByte& lead, std::string_view text) {
  if (text.size() < lead.length_bytes) {
    return {};
  }
  auto code_point =
      static_cast<std::uint32_t>(static_cast<std::uint8_t>(text[0]) & static_cast<std::uint8_t>(~lead.mask));
  for (std::size_t index = 1; index < lead.length_bytes; ++index) {
    const auto byte = static_cast<std::uint8_t>(text[index]);
    if ((byte & 0xc0U) != 0x80U) {
      return {};
    }
    code_point = (code_point << 6U) | (byte & 0x3fU);
  }
  if (code_point < lead.smallest || code_point > kMaxCodePoint || is_surrogate(code_point)) {
    return {};
  }
  return {static_cast<char32_t>(code_point), lead.length_bytes};
}

}  // namespace

DecodedCharacter decode_character(std::string_view text) {
  const auto first = static_cast<std::uint8_t>(text.front());
  for (const LeadByte& lead : kLeadBytes) {
    if ((first & lead.mask) == lead.value) {
      return decode_as(lead, text);
    }
  }
  return {};
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const DecodedCharacter character = decode_character(text);
    if (character.length_bytes == 0) {
      return false;
    }
    text.remove_prefix(character.length_bytes);
  }
  return true;
}

bool is_alphanumeric(char32_t code_point) {
  const auto value = static_cast<std::uint32_t>(code_point);
  const auto* after = std::upper_bound(std::begin(kAlphanumericRanges), std::end(kAlphanumericRanges), value,
                                       [](std::uint32_t wanted, const Range& range) { return wanted < range.first; });
  return after != std::begin(kAlphanumericRanges) && value <= (after - 1)->last;
}

bool has_only_id_characters(std::string_view text) {
  while (!text.empty()) {
    const DecodedCharacter character = decode_character(text);
    if (character.length_bytes == 0 || (character.code_point != U'_' && !is_alphanumeric(character.code_point))) {
      return false;
    }
    text.remove_prefix(character.length_bytes);
  }
  return true;
}

}  // namespace wisp::api
