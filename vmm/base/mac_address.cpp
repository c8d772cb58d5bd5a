#include "vmm/base/mac_address.h"

namespace wisp {
namespace {

constexpr std::size_t kMacTextLength = 17;
constexpr std::string_view kHexDigits = "0123456789abcdef";

std::optional<std::uint8_t> hex_digit(char letter) {
  const char lower = letter >= 'A' && letter <= 'F' ? static_cast<char>(letter - 'A' + 'a') : letter;
  const std::size_t value = kHexDigits.find(lower);
  return value == std::string_view::npos ? std::nullopt : std::optional(static_cast<std::uint8_t>(value));
}

}  // namespace

std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != kMacTextLength) {
    return std::nullopt;
  }
  MacAddress mac{};
  for (std::size_t index = 0; index < mac.size(); ++index) {
    const auto high = hex_digit(text[index * 3]);
    const auto low = hex_digit(text[index * 3 + 1]);
    const bool separated = index + 1 == mac.size() || text[index * 3 + 2] == ':';
    if (!high || !low || !separated) {
      return std::nullopt;
    }
    mac[index] = static_cast<std::uint8_t>(*high * 16 + *low);
  }
  return mac;
}

std::string mac_text(const MacAddress& mac) {
  std::string text;
  for (const std::uint8_t byte : mac) {
    text += text.empty() ? "" : ":";
    text += kHexDigits[byte >> 4U];
    text += kHexDigits[byte & 0xfU];
  }
  return text;
}

}  // namespace wisp
