#include "vmm/base/manual.h"

#include <array>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "vmm/cli/completion.h"
#include "vmm/cli/help_commands.h"

namespace wisp {
namespace {

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr std::array kArguments = {
    ArgumentSpec{.name = "size",
                 .kind = ArgumentKind::Value,
                 .value_name = "BYTES",
                 .help = "How large.",
                 .fallback = "1",
                 .example = "2"},
    ArgumentSpec{.name = "name", .kind = ArgumentKind::Value, .value_name = "NAME", .help = "Who.", .example = "x"},
    ArgumentSpec{.name = "mode",
                 .kind = ArgumentKind::RepeatedValue,
                 .value_name = "a|b",
                 .help = "How.",
                 .fallback = "a",
                 .example = "b"},
    ArgumentSpec{.name = "in",
                 .kind = ArgumentKind::Value,
                 .value_name = "PATH",
                 .help = "From where.",
                 .fallback = "-",
                 .example = "f",
                 .needs = "name"},
    ArgumentSpec{.name = "quick", .help = "It's quick.", .excludes = "size"},
};
constexpr std::array kSynopsis = {"[--size BYTES]"};
constexpr std::array kDescription = {".starts with a dot, has a back\\slash"};
constexpr ManualPage kPage{.program = "tool",
                           .summary = "does it",
                           .synopsis = kSynopsis,
                           .description = kDescription,
                           .arguments = kArguments};
constexpr std::array kPages = {&kPage};

}  // namespace

TEST_CASE("help tells default, requirement, repetition, needs and exclusion of an argument") {
  const std::string text = help_text(kPage);
  CHECK(says(text, "  --size BYTES\n      How large. Default: 1. Example: --size 2\n"));
  CHECK(says(text, "Who. Required. Example: --name x\n"));
  CHECK(says(text, "How. May be given several times. Default: a. Example: --mode b\n"));
  CHECK(says(text, "Needs --name."));
  CHECK(says(text, "It's quick. Not together with --size.\n"));
}

TEST_CASE("help wraps at 96 columns and loses no word") {
  const std::string word(40, 'w');
  const std::string paragraph = word + " " + word + " " + word;
  const std::array description = {paragraph.c_str()};
  ManualPage page = kPage;
  page.description = description;
  CHECK(says(help_text(page), word + " " + word + "\n" + word + "\n"));
}

TEST_CASE("a manual page escapes what troff would act on") {
  const std::string text = manual_text(kPage);
  CHECK(says(text, "\\&.starts with a dot, has a back\\eslash"));
  CHECK(says(text, ".B \\-\\-size BYTES"));
  CHECK(says(text, ".TH tool 1"));
}

TEST_CASE("completion knows files, choices, other values and switches apart") {
  const std::string bash = bash_completion(kPages);
  CHECK(says(bash, "--in) COMPREPLY=($(compgen -f "));
  CHECK(says(bash, "--mode) COMPREPLY=($(compgen -W 'a b' "));
  CHECK(says(bash, "--size) return"));
  CHECK_FALSE(says(bash, "--quick) "));
  const std::string zsh = zsh_completion(kPages);
  CHECK(says(zsh, "'--quick[It'\\''s quick.]'"));
  CHECK(says(zsh, "'*--mode[How.]:a|b:(a b)'"));
  const std::string fish = fish_completion(kPages);
  CHECK(says(fish, "complete -c tool -l in -r -F"));
  CHECK(says(fish, "complete -c tool -l mode -x -a 'a b'"));
}

TEST_CASE("wisp help lists exactly the pages that there are") {
  std::set<std::string> listed;
  for (const ManualWord& each : kHelpPage.words) {
    listed.insert(each.word);
  }
  std::set<std::string> there;
  for (const ManualPage* page : all_pages()) {
    there.insert(page->command == nullptr ? page->program : page->command);
  }
  CHECK(listed == there);
}

TEST_CASE("every argument of every page has a help, and every value a name, an example and a default or is required") {
  for (const ManualPage* page : all_pages()) {
    std::set<std::string> names;
    for (const ArgumentSpec& spec : page->arguments) {
      INFO(full_name(*page) << " --" << spec.name);
      CHECK(names.insert(spec.name).second);
      REQUIRE(spec.help != nullptr);
      if (spec.kind == ArgumentKind::Switch) {
        CHECK(spec.value_name == nullptr);
        CHECK(spec.example == nullptr);
      } else {
        CHECK(spec.value_name != nullptr);
        CHECK(spec.example != nullptr);
      }
    }
    CHECK(names.contains("help"));
    CHECK_FALSE(page->examples.empty());
    CHECK_FALSE(page->exits.empty());
  }
}

}  // namespace wisp
