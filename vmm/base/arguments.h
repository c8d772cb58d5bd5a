// Arguments: a command line of `--name value` pairs and switches, checked against a table.
//
//   constexpr ArgumentSpec kSpecs[] = {{"api-sock", ArgumentKind::Value, "PATH", "the API socket"}, ...};
//   auto arguments = WISP_TRY(Arguments::parse(kSpecs, argc, argv));
//   arguments.value("api-sock").value_or(kDefaultSocket);
//
// Rules (those of the Firecracker command lines): no `--name=value`, a value does not begin with `--`, nothing is given
// twice unless its kind says so, `--` ends the parsing and the rest is kept. The texts of the errors are part of the
// interface.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace wisp {

enum class ArgumentKind {
  Switch,
  Value,
  RepeatedValue,  ///< may be given several times; the order is kept
};

struct ArgumentSpec {
  const char* name;  ///< without the dashes
  ArgumentKind kind;
  const char* value_name;  ///< for the usage text
  const char* help;
  const char* needs = nullptr;     ///< another argument that must be there too
  const char* excludes = nullptr;  ///< another argument that must not
};

class Arguments {
 public:
  static Result<Arguments> parse(std::span<const ArgumentSpec> specs, std::span<char* const> words);

  bool has(const std::string& name) const { return values_.contains(name); }
  std::optional<std::string> value(const std::string& name) const;
  /// Every value of a RepeatedValue argument, in the order given.
  std::vector<std::string> values(const std::string& name) const;
  /// A decimal number; an Error names the argument and the text.
  Result<std::optional<std::uint64_t>> number(const std::string& name) const;
  /// What followed `--`.
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> rest_;
};

/// Does `word` stand anywhere before `--`? --help and --version count even when other words are wrong.
bool mentions(std::span<char* const> words, const char* word);
std::string usage(const char* program, const char* summary, std::span<const ArgumentSpec> specs);

}  // namespace wisp
