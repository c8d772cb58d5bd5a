#include "vmm/cli/snapshot_commands.h"

#include <array>
#include <cstdio>
#include <string_view>

#include "snapshot/image/describe.h"
#include "snapshot/image/memory_file.h"
#include "snapshot/image/state_file.h"
#include "vmm/arch/x86_64/cpu_requirements.h"
#include "vmm/kvm/system.h"
#include "vmm/kvm/vcpu_state.h"
#include "vmm/machine/snapshot.h"

namespace wisp {
namespace {

constexpr std::array kArguments = {ArgumentSpec{.name = "help", .help = "Prints this text (also -h)."}};
constexpr std::array kSynopsis = {"describe STATE", "check STATE", "edit STATE CHANGE...", "merge BASE DIFF"};
constexpr std::array kDescription = {
    "Looks at the files of a snapshot, edits or merges them, without a machine. STATE is the file that snapshot_path "
    "named, "
    "BASE and DIFF are memory files (mem_file_path). A CHANGE is drive.ID=PATH, pmem.ID=PATH, net.ID=TAP or "
    "vsock=PATH; "
    "with an empty value nothing is recorded, and a load must name it."};
constexpr std::array kWords = {
    ManualWord{"describe", "STATE", "Prints what the state file holds. The first line is its version."},
    ManualWord{"check", "STATE", "Says whether the snapshot would run on this host, and if not, why."},
    ManualWord{"edit", "STATE CHANGE...", "Changes what the state file records of the host; all changes or none."},
    ManualWord{"merge", "BASE DIFF", "Copies the pages of the memory file DIFF into the memory file BASE."},
};
constexpr std::array kExamples = {
    ManualExample{"wisp snapshot describe vm.state", "What is in it?"},
    ManualExample{"wisp snapshot check vm.state && echo good", "Would it run here?"},
    ManualExample{"wisp snapshot edit vm.state drive.rootfs=copy.ext4 vsock=",
                  "Another disk; the load names the socket."},
    ManualExample{"wisp snapshot merge vm.mem vm.diff", "vm.mem is then what a full snapshot would have been."},
};
constexpr std::array kExits = {
    ManualExit{"0", "done"},
    ManualExit{"1", "the file is damaged, cannot be read, or would not run here; the reason is on standard error"},
    ManualExit{"153", "the command line was wrong"},
};
constexpr std::array kSeeAlso = {"wisp(1)"};

using Words = std::span<char* const>;

/// The first line is the version alone, for those who parse it.
Result<std::string> describe_file(const char* path) {
  const StateFile state = WISP_TRY(StateFile::open(path));
  return "v" + state.version().text() + "\n" + WISP_TRY(describe_snapshot(path));
}

Result<std::string> describe(Words words) {
  return describe_file(words[0]);
}

/// Every vCPU: those of one machine may have been told different things.
Result<std::string> check(Words words) {
  const StateFile state = WISP_TRY(StateFile::open(words[0]));
  const KvmSystem kvm = WISP_TRY(KvmSystem::open());
  const auto supported = WISP_TRY(kvm.supported_cpuid());
  std::size_t count = 0;
  for (std::string name = section::vcpu(0); count == 0 || state.section(name); name = section::vcpu(++count)) {
    StateReader in(name, WISP_TRY(required_section(state, name)));
    const VcpuState vcpu = WISP_TRY(VcpuState::restore(in));
    const auto missing = arch::missing_cpu_features(vcpu.cpuid, supported);
    if (!missing.empty()) {
      return Error(ErrorCode::Unsupported, "the snapshot would not run here, this host lacks " +
                                               arch::describe(missing) + " (vCPU " + std::to_string(count) + ")");
    }
  }
  return std::string("the snapshot would run here\n");
}

Result<std::string> merge(Words words) {
  (void)WISP_TRY(merge_diff(words[0], words[1]));
  return std::string();
}

Result<std::string> edit(const char* path, Words changes, const DescribeConfig& describe_config) {
  (void)WISP_TRY(edit_state_file(path, changes, describe_config));
  return std::string();
}

struct SnapshotCommand {
  std::string_view name;
  std::size_t argument_count;
  Result<std::string> (*run)(Words);
};
constexpr std::array kCommands = {SnapshotCommand{"describe", 1, describe}, SnapshotCommand{"check", 1, check},
                                  SnapshotCommand{"merge", 2, merge}};

ExitCode finish(const Result<std::string>& result) {
  if (!result.ok()) {
    std::fprintf(stderr, "Error: %s\n", result.error().text().c_str());
    return ExitCode::GenericError;
  }
  std::fputs(result.value().c_str(), stdout);
  std::fflush(stdout);
  return ExitCode::Ok;
}

std::string format_version() {
  return "v" + kSnapshotVersion.text() + "\n";
}

}  // namespace

constinit const ManualPage kSnapshotPage{.program = "wisp",
                                         .command = "snapshot",
                                         .summary = "looks at the files of a snapshot, edits and merges them",
                                         .synopsis = kSynopsis,
                                         .description = kDescription,
                                         .words = kWords,
                                         .arguments = kArguments,
                                         .examples = kExamples,
                                         .exits = kExits,
                                         .see_also = kSeeAlso};

std::optional<ExitCode> run_snapshot_command(Words words, const DescribeConfig& describe_config) {
  for (std::size_t index = 0; index < words.size(); ++index) {
    const std::string_view word = words[index];
    if (word == "--") {
      break;
    }
    if (word == "--snapshot-version") {
      return finish(format_version());
    }
    if (word == "--describe-snapshot" && index + 1 < words.size()) {
      return finish(describe_file(words[index + 1]));
    }
  }
  if (words.empty() || std::string_view(words[0]) != "snapshot") {
    return std::nullopt;
  }
  const Words rest = words.subspan(1);
  if (rest.size() >= 3 && std::string_view(rest[0]) == "edit") {
    return finish(edit(rest[1], rest.subspan(2), describe_config));
  }
  for (const SnapshotCommand& command : kCommands) {
    if (!rest.empty() && rest[0] == command.name && rest.size() == command.argument_count + 1) {
      return finish(command.run(rest.subspan(1)));
    }
  }
  std::fputs(
      "Error: give `wisp snapshot describe STATE`, `check STATE`, `edit STATE CHANGE...` or "
      "`merge BASE DIFF`; see --help\n",
      stderr);
  return ExitCode::ArgumentParsing;
}

}  // namespace wisp
