#include "vmm/cli/help_commands.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "jailer/jail/arguments.h"
#include "vmm/cli/doctor_command.h"
#include "vmm/cli/options.h"
#include "vmm/cli/run_options.h"
#include "vmm/cli/seccomp_command.h"
#include "vmm/cli/snapshot_commands.h"

namespace wisp {
namespace {

using Words = std::span<char* const>;

constexpr std::array kHelpArguments = {
    ArgumentSpec{.name = "man", .help = "Prints the manual page (troff, for man -l) instead of the help."},
    ArgumentSpec{.name = "help", .help = "Prints this text (also -h)."},
};
constexpr std::array kHelpSynopsis = {"[--man] [COMMAND]"};
constexpr std::array kHelpDescription = {"Prints the help of a command, or that of wisp itself."};
constexpr std::array kHelpWords = {
    ManualWord{"run", nullptr, "wisp run"},
    ManualWord{"doctor", nullptr, "wisp doctor"},
    ManualWord{"snapshot", nullptr, "wisp snapshot"},
    ManualWord{"seccomp", nullptr, "wisp seccomp"},
    ManualWord{"completion", nullptr, "wisp completion"},
    ManualWord{"help", nullptr, "wisp help"},
    ManualWord{"wisp", nullptr, "the monitor's own options"},
    ManualWord{"wisp-jailer", nullptr, "the program that confines the monitor"},
};
constexpr std::array kHelpExamples = {
    ManualExample{"wisp help run", "The same as wisp run --help."},
    ManualExample{"wisp help --man run | man -l -", "The manual page."},
};

constexpr std::array kCompletionArguments = {
    ArgumentSpec{.name = "help", .help = "Prints this text (also -h)."},
};
constexpr std::array kCompletionSynopsis = {"bash|zsh|fish"};
constexpr std::array kCompletionDescription = {
    "Prints a script that completes the commands, flags and values of wisp and wisp-jailer. The package installs it "
    "for "
    "all three shells."};
constexpr std::array kCompletionWords = {
    ManualWord{"bash", nullptr, "For bash 4 or later."},
    ManualWord{"zsh", nullptr, "For zsh, as the file _wisp in a folder of fpath."},
    ManualWord{"fish", nullptr, "For fish."},
};
constexpr std::array kCompletionExamples = {
    ManualExample{"eval \"$(wisp completion bash)\"", "Completion in this bash."},
    ManualExample{"wisp completion fish > ~/.config/fish/completions/wisp.fish", "Completion in every fish."},
};
constexpr std::array kExits = {ManualExit{"0", "printed"}, ManualExit{"153", "the command line was wrong"}};
constexpr std::array kSeeAlso = {"wisp(1)"};

struct Shell {
  std::string_view name;
  std::string (*script)(Pages);
};
constexpr std::array kShells = {Shell{"bash", bash_completion}, Shell{"zsh", zsh_completion},
                                Shell{"fish", fish_completion}};

ExitCode print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return ExitCode::Ok;
}

ExitCode refuse(const std::string& text) {
  std::fprintf(stderr, "Error: %s\n", text.c_str());
  return ExitCode::ArgumentParsing;
}

/// "run" and "wisp-run" are both names of the page of `wisp run`.
const ManualPage* find_page(std::string_view name) {
  const auto pages = all_pages();
  const auto found = std::ranges::find_if(pages, [name](const ManualPage* page) {
    return manual_name(*page) == name || (page->command != nullptr && page->command == name);
  });
  return found == pages.end() ? nullptr : *found;
}

ExitCode run_help(Words words) {
  const bool as_manual = mentions(words, "--man");
  std::string_view name = "wisp";
  for (const char* word : words) {
    if (std::string_view(word) != "--man") {
      name = word;
    }
  }
  const ManualPage* page = find_page(name);
  if (page == nullptr || words.size() > (as_manual ? 2U : 1U)) {
    return refuse("there is no page '" + std::string(name) + "'. Try wisp help, or wisp help help");
  }
  return print(as_manual ? manual_text(*page) : help_text(*page));
}

ExitCode run_completion(Words words) {
  for (const Shell& shell : kShells) {
    if (words.size() == 1 && words[0] == shell.name) {
      return print(shell.script(all_pages()));
    }
  }
  return refuse("give one shell: wisp completion bash, zsh or fish");
}

}  // namespace

constinit const ManualPage kHelpPage{.program = "wisp",
                                     .command = "help",
                                     .summary = "prints the help or the manual page of a command",
                                     .synopsis = kHelpSynopsis,
                                     .description = kHelpDescription,
                                     .words = kHelpWords,
                                     .arguments = kHelpArguments,
                                     .examples = kHelpExamples,
                                     .exits = kExits,
                                     .see_also = kSeeAlso};
constinit const ManualPage kCompletionPage{.program = "wisp",
                                           .command = "completion",
                                           .summary = "prints completion for a shell",
                                           .synopsis = kCompletionSynopsis,
                                           .description = kCompletionDescription,
                                           .words = kCompletionWords,
                                           .arguments = kCompletionArguments,
                                           .examples = kCompletionExamples,
                                           .exits = kExits,
                                           .see_also = kSeeAlso};

Pages all_pages() {
  static constexpr std::array kPages = {&kWispPage,    &kRunPage,        &kDoctorPage, &kSnapshotPage,
                                        &kSeccompPage, &kCompletionPage, &kHelpPage,   &kJailerPage};
  return kPages;
}

std::optional<std::string> command_help(Words words) {
  if (words.empty() || !(mentions(words, "--help") || mentions(words, "-h"))) {
    return std::nullopt;
  }
  const ManualPage* page = find_page(words[0]);
  return page == nullptr || page->command == nullptr ? std::nullopt : std::optional(help_text(*page));
}

std::optional<ExitCode> run_help_command(Words words) {
  if (words.empty()) {
    return std::nullopt;
  }
  const std::string_view first = words[0];
  if (first == "help") {
    return run_help(words.subspan(1));
  }
  return first == "completion" ? std::optional(run_completion(words.subspan(1))) : std::nullopt;
}

}  // namespace wisp
