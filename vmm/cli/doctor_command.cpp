#include "vmm/cli/doctor_command.h"

#include <array>
#include <cstdio>

#include "vmm/doctor/checks.h"

namespace wisp {
namespace {

constexpr std::array kArguments = {
    ArgumentSpec{.name = "json", .help = "Prints one JSON object instead of lines."},
    ArgumentSpec{.name = "verbose", .help = "Shows what each check looked at, such as every KVM capability."},
    ArgumentSpec{.name = "help", .help = "Prints this text (also -h)."},
};
constexpr std::array kSynopsis = {"[--verbose] [--json]"};
constexpr std::array kDescription = {
    "Looks at everything of this host that wisp needs or can use, and prints a line for each: ok, warning (a feature, "
    "speed or safety is lost) or failure (no machine can run), with what to do about it.",
    "It changes nothing. Run it as the user that will run wisp: rights are part of what is checked. Its requests to "
    "the "
    "kernel are those that wisp itself makes; opening /dev/kvm or /dev/net/tun may load the module behind it, as any "
    "use does.",
};
constexpr std::array kExamples = {
    ManualExample{"wisp doctor", "Is this host ready?"},
    ManualExample{"wisp doctor --json | jq -r '.checks[] | select(.level != \"ok\") | .remedy'",
                  "Only what is to be done."},
};
constexpr std::array kExits = {
    ManualExit{"0", "no check failed (there may be warnings)"},
    ManualExit{"1", "a check failed"},
    ManualExit{"153", "the command line was wrong"},
};
constexpr std::array kSeeAlso = {"wisp(1)", "wisp-run(1)", "wisp-jailer(8)"};

}  // namespace

constinit const ManualPage kDoctorPage{.program = "wisp",
                                       .command = "doctor",
                                       .summary = "checks whether this host can run machines, and says what to change",
                                       .synopsis = kSynopsis,
                                       .description = kDescription,
                                       .arguments = kArguments,
                                       .examples = kExamples,
                                       .exits = kExits,
                                       .see_also = kSeeAlso};

ExitCode run_doctor_command(std::span<char* const> words, std::string (*to_json)(const HostReport&)) {
  const auto arguments = Arguments::parse(kArguments, words);
  if (!arguments.ok()) {
    std::fprintf(stderr, "Error: %s\n\nFor more information try wisp doctor --help.\n",
                 arguments.error().text().c_str());
    return ExitCode::ArgumentParsing;
  }
  const HostReport report = examine(ThisHost());
  const Detail detail = arguments.value().has("verbose") ? Detail::Verbose : Detail::Brief;
  const std::string text = arguments.value().has("json") ? to_json(report) + "\n" : report_text(report, detail);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return report.verdict() == Level::Failure ? ExitCode::GenericError : ExitCode::Ok;
}

}  // namespace wisp
