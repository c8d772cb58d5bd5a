// wisp-jailer: starts the monitor in confinement. The command line exists; the confinement itself is not built yet, and
// the program says so instead of starting a monitor that only looks jailed.
#include <cstdio>
#include <cstring>

#include "vmm/base/exit_code.h"
#include "vmm/base/version.h"

namespace {

constexpr const char* kUsage =
    "wisp-jailer: starts wisp in confinement\n\n"
    "This version cannot confine a monitor yet and starts nothing.\n\n"
    "  --help, -h     this text\n"
    "  --version      the version\n";

}  // namespace

int main(int argc, char** argv) {
  for (int index = 1; index < argc; ++index) {
    if (std::strcmp(argv[index], "--version") == 0) {
      std::printf("Jailer v%s\n", wisp::kWispVersion);
      return wisp::to_int(wisp::ExitCode::Ok);
    }
    if (std::strcmp(argv[index], "--help") == 0 || std::strcmp(argv[index], "-h") == 0) {
      std::fputs(kUsage, stdout);
      return wisp::to_int(wisp::ExitCode::Ok);
    }
  }
  std::fputs(
      "wisp-jailer: confinement is not supported yet by this version, so no monitor was started. "
      "Run wisp itself, under another sandbox, until it is.\n",
      stderr);
  return wisp::to_int(wisp::ExitCode::GenericError);
}
