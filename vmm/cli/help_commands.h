// `wisp help` and `wisp completion`: what the pages say, as help, as manual pages, as completion.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "vmm/base/exit_code.h"
#include "vmm/cli/completion.h"

namespace wisp {

extern const ManualPage kHelpPage;
extern const ManualPage kCompletionPage;

/// Every page of wisp and of wisp-jailer.
Pages all_pages();

/// The help of the command that stands first, when its words mention --help or -h.
std::optional<std::string> command_help(std::span<char* const> words);
/// Carries out `wisp help` and `wisp completion`; nothing when the words ask for something else.
std::optional<ExitCode> run_help_command(std::span<char* const> words);

}  // namespace wisp
