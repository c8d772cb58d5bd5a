// Arguments: a command line of `--name value` pairs and switches, checked against a table.
//
//   constexpr ArgumentSpec kSpecs[] = {{.name = "api-sock", .kind = Value, .value_name = "PATH", ...}, ...};
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

/// One argument: what the parser, the help, the manual page and the shells' completion know of it.
struct ArgumentSpec {
  const char* name;  ///< without the dashes
  ArgumentKind kind = ArgumentKind::Switch;
  /// What the value is: PATH and names that end in PATH are completed as files, "a|b" is a choice.
  const char* value_name = nullptr;
  const char* help = nullptr;      ///< what it does, with the unit; whole sentences
  const char* fallback = nullptr;  ///< the default in words; for a Value only, nullptr: the argument is required
  const char* example = nullptr;   ///< the value in an example; for a Value only
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

}  // namespace wisp
