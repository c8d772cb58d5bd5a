#include "vmm/base/arguments.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace wisp {
namespace {

Error refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

const ArgumentSpec* find_spec(std::span<const ArgumentSpec> specs, const std::string& word) {
  if (!word.starts_with("--")) {
    return nullptr;
  }
  const auto found =
      std::find_if(specs.begin(), specs.end(), [&](const auto& spec) { return word.substr(2) == spec.name; });
  return found == specs.end() ? nullptr : &*found;
}

}  // namespace

Result<Arguments> Arguments::parse(std::span<const ArgumentSpec> specs, std::span<char* const> words) {
  Arguments arguments;
  for (std::size_t index = 0; index < words.size(); ++index) {
    const std::string word = words[index];
    if (word == "--") {
      arguments.rest_.assign(words.begin() + static_cast<std::ptrdiff_t>(index) + 1, words.end());
      break;
    }
    const ArgumentSpec* spec = find_spec(specs, word);
    if (spec == nullptr) {
      return refuse("Found argument '" + word + "' which wasn't expected, or isn't valid in this context.");
    }
    if (spec->kind != ArgumentKind::RepeatedValue && arguments.has(spec->name)) {
      return refuse(std::string("The argument '") + spec->name + "' was provided more than once.");
    }
    std::string value;
    if (spec->kind != ArgumentKind::Switch) {
      if (index + 1 == words.size() || std::strncmp(words[index + 1], "--", 2) == 0) {
        return refuse(std::string("The argument '") + spec->name + "' requires a value, but none was supplied.");
      }
      value = words[++index];
    }
    arguments.values_[spec->name].push_back(std::move(value));
  }
  for (const ArgumentSpec& spec : specs) {
    if (arguments.has(spec.name) && spec.needs != nullptr && !arguments.has(spec.needs)) {
      return refuse(std::string("Argument '") + spec.needs + "' required, but not found.");
    }
    if (arguments.has(spec.name) && spec.excludes != nullptr && arguments.has(spec.excludes)) {
      return refuse(std::string("Argument '") + spec.excludes + "' cannot be used together with argument '" +
                    spec.name + "'.");
    }
  }
  return arguments;
}

std::optional<std::string> Arguments::value(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second.front());
}

std::vector<std::string> Arguments::values(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Result<std::optional<std::uint64_t>> Arguments::number(const std::string& name) const {
  const auto text = value(name);
  if (!text) {
    return std::optional<std::uint64_t>();
  }
  std::uint64_t number = 0;
  const char* begin = text->data() + (text->starts_with('+') ? 1 : 0);  // "+1" is a number for clients of the peer
  const auto [end, error] = std::from_chars(begin, text->data() + text->size(), number);
  if (text->empty() || error != std::errc() || end != text->data() + text->size()) {
    return refuse("The value '" + *text + "' of the argument '" + name + "' is not a number. Give a decimal number.");
  }
  return std::optional(number);
}

bool mentions(std::span<char* const> words, const char* word) {
  for (const char* candidate : words) {
    if (std::strcmp(candidate, "--") == 0) {
      return false;
    }
    if (std::strcmp(candidate, word) == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace wisp
