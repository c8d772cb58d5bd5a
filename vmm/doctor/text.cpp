#include "vmm/doctor/text.h"

#include <algorithm>
#include <charconv>

namespace wisp::text {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> lines(std::string_view text) {
  return split(text, '\n');
}

std::vector<std::string> words(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n";
  std::vector<std::string> found;
  std::size_t begin = text.find_first_not_of(kBlanks);
  while (begin != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(kBlanks, begin), text.size());
    found.emplace_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(kBlanks, end);
  }
  return found;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (const std::string& part : parts) {
    joined += (joined.empty() ? "" : std::string(separator)) + part;
  }
  return joined;
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::string chosen(std::string_view text) {
  const std::size_t begin = text.find('[');
  const std::size_t end = text.find(']');
  return begin < end && end != std::string_view::npos ? std::string(text.substr(begin + 1, end - begin - 1)) : "";
}

std::optional<KernelVersion> kernel_version(std::string_view release) {
  KernelVersion version;
  unsigned* const parts[] = {&version.major, &version.minor, &version.patch};
  const char* at = release.data();
  const char* const end = at + release.size();
  std::size_t read = 0;
  for (unsigned* part : parts) {
    const auto [next, error] = std::from_chars(at, end, *part);
    if (error != std::errc()) {
      break;
    }
    ++read;
    at = next;
    if (at == end || *at != '.') {
      break;
    }
    ++at;
  }
  return read >= 2 ? std::optional(version) : std::nullopt;
}

}  // namespace wisp::text
