#include "virtio/vsock/connect_line.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace wisp {
namespace {

constexpr std::string_view kKeyword = "connect";
constexpr std::string_view kBlanks = " \t\r";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_keyword(std::string_view word) {
  return std::ranges::equal(word, kKeyword, [](char given, char wanted) {
    return (given >= 'A' && given <= 'Z' ? static_cast<char>(given - 'A' + 'a') : given) == wanted;
  });
}

std::optional<std::uint32_t> parse_port(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') {
      return std::nullopt;
    }
    value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    if (value > UINT32_MAX) {
      return std::nullopt;
    }
  }
  return digits.empty() ? std::nullopt : std::optional(static_cast<std::uint32_t>(value));
}

}  // namespace

ConnectLine parse_connect_line(std::span<const char> bytes) {
  const std::string_view all(bytes.data(), bytes.size());
  const std::size_t newline = all.find('\n');
  if (newline == std::string_view::npos) {
    return {all.size() < kMaxConnectLineBytes ? ConnectLineState::Incomplete : ConnectLineState::Malformed};
  }
  const std::string_view line = trim(all.substr(0, newline));
  const std::size_t blank = std::min(line.find_first_of(kBlanks), line.size());
  const auto port = parse_port(trim(line.substr(blank)));
  if (!port || !is_keyword(line.substr(0, blank))) {
    return {ConnectLineState::Malformed};
  }
  return {ConnectLineState::Complete, *port, newline + 1};
}

}  // namespace wisp
