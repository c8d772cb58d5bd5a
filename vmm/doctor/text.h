// The little that files in /proc and /sys need to be read: lines, words, numbers, kernel versions.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wisp::text {

std::vector<std::string> split(std::string_view text, char separator);
std::vector<std::string> lines(std::string_view text);
/// Separated by any number of blanks.
std::vector<std::string> words(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
bool contains(const std::vector<std::string>& words, std::string_view word);
std::optional<std::uint64_t> number(std::string_view text);
/// The word in brackets: "always [madvise] never" has "madvise".
std::string chosen(std::string_view text);

struct KernelVersion {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  auto operator<=>(const KernelVersion&) const = default;
};
/// "6.1.0-56-cloud-amd64" is 6.1.0.
std::optional<KernelVersion> kernel_version(std::string_view release);

}  // namespace wisp::text
