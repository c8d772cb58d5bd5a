// ManualPage: one command as its user sees it. --help, the manual page and the shells' completion are all made of it.
//
//   constexpr ManualPage kPage{.program = "wisp", .command = "doctor", .summary = "checks this host", ...};
//   std::fputs(help_text(kPage).c_str(), stdout);      // wisp doctor --help
//   std::fputs(manual_text(kPage).c_str(), stdout);    // wisp help --man doctor: troff for man(1)
//
// The arguments are the table that the command's parser reads, so help cannot tell of a flag that does not exist, nor
// forget one.
#pragma once

#include <span>
#include <string>

#include "vmm/base/arguments.h"

namespace wisp {

/// A word that may stand first.
struct ManualWord {
  const char* word;
  const char* operands;  ///< "STATE"; nullptr: none
  const char* help;
};
struct ManualExample {
  const char* command;
  const char* meaning;
};
struct ManualExit {
  const char* code;
  const char* meaning;
};

struct ManualPage {
  const char* program;
  const char* command = nullptr;  ///< nullptr: the program itself
  int section = 1;
  const char* summary;
  std::span<const char* const> synopsis;     ///< one line for each way to call it, without the name
  std::span<const char* const> description;  ///< paragraphs
  std::span<const ManualWord> words = {};
  std::span<const ArgumentSpec> arguments = {};
  std::span<const ManualExample> examples = {};
  std::span<const ManualExit> exits = {};
  std::span<const char* const> see_also = {};
};

/// "wisp run"
std::string full_name(const ManualPage& page);
/// "wisp-run"
std::string manual_name(const ManualPage& page);
std::string help_text(const ManualPage& page);
std::string manual_text(const ManualPage& page);

}  // namespace wisp
