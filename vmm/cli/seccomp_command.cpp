#include "vmm/cli/seccomp_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>

#include "vmm/base/fd.h"

namespace wisp {
namespace {

constexpr std::size_t kMaxSourceBytes = 1024 * 1024;
constexpr mode_t kFileMode = 0644;

constexpr std::array kArguments = {ArgumentSpec{.name = "help", .help = "Prints this text (also -h)."}};
constexpr std::array kSynopsis = {"compile IN OUT", "check FILE"};
constexpr std::array kDescription = {
    "Makes files for --seccomp-filter, and checks them. IN is JSON: an object for each thread category (vmm, api, "
    "vcpu) "
    "with default_action, filter_action and filter, a list of rules. OUT and FILE are compiled."};
constexpr std::array kWords = {
    ManualWord{"compile", "IN OUT", "Compiles the filters of IN into OUT, and prints their sizes."},
    ManualWord{"check", "FILE", "Says whether --seccomp-filter would take FILE, and prints the sizes of its filters."},
};
constexpr std::array kExamples = {
    ManualExample{"wisp seccomp compile filters.json filters", "Filters of your own."},
    ManualExample{"wisp --api-sock /tmp/vm1.sock --seccomp-filter filters", "A monitor that runs with them."},
};
constexpr std::array kExits = {
    ManualExit{"0", "done"},
    ManualExit{"1", "the file is not sound or cannot be read or written; the reason is on standard error"},
    ManualExit{"153", "the command line was wrong"},
};
constexpr std::array kSeeAlso = {"wisp(1)"};

Result<std::string> read_source(const std::string& path) {
  const Fd fd = WISP_TRY(open_data_file("filter source", path, Access::ReadOnly, FileKind::Regular));
  std::string text(kMaxSourceBytes + 1, '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t count = ::read(fd.raw(), text.data() + used, text.size() - used);
    if (count < 0) {
      return Error::host(errno, "cannot read the filter source '" + path + "'");
    }
    if (count == 0) {
      text.resize(used);
      return text;
    }
    used += static_cast<std::size_t>(count);
  }
  return Error(ErrorCode::LimitExceeded, "the filter source '" + path + "' is larger than 1 MiB");
}

Status write_file(const std::string& path, const std::vector<std::uint8_t>& bytes) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode));
  if (!fd.valid()) {
    return Error::host(errno, "cannot make the filter file '" + path + "'");
  }
  if (::write(fd.raw(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return Error::host(errno, "cannot write the filter file '" + path + "'");
  }
  return {};
}

std::string sizes_of(const seccomp::FilterMap& filters) {
  std::string text;
  for (const auto& [name, program] : filters) {
    text += name + ": " + std::to_string(program.size()) + " instructions\n";
  }
  return text;
}

Result<std::string> compile(const std::string& in, const std::string& out,
                            Result<seccomp::FilterMap> (*compile_source)(std::string_view)) {
  const std::string text = WISP_TRY(read_source(in));
  auto filters = compile_source(text);
  if (!filters.ok()) {
    return std::move(filters).error().with_prefix("the filter source '" + in + "': ");
  }
  (void)WISP_TRY(write_file(out, seccomp::encode_filters(filters.value())));
  return sizes_of(filters.value());
}

Result<std::string> check(const std::string& path) {
  return sizes_of(WISP_TRY(seccomp::read_filter_file(path)));
}

ExitCode finish(const Result<std::string>& result) {
  if (!result.ok()) {
    std::fprintf(stderr, "Error: %s\n", result.error().text().c_str());
    return ExitCode::GenericError;
  }
  std::fputs(result.value().c_str(), stdout);
  std::fflush(stdout);
  return ExitCode::Ok;
}

}  // namespace

constinit const ManualPage kSeccompPage{.program = "wisp",
                                        .command = "seccomp",
                                        .summary = "makes files of system call filters, and checks them",
                                        .synopsis = kSynopsis,
                                        .description = kDescription,
                                        .words = kWords,
                                        .arguments = kArguments,
                                        .examples = kExamples,
                                        .exits = kExits,
                                        .see_also = kSeeAlso};

ExitCode run_seccomp_command(std::span<char* const> words,
                             Result<seccomp::FilterMap> (*compile_source)(std::string_view)) {
  const std::string_view command = words.empty() ? "" : words[0];
  if (command == "compile" && words.size() == 3) {
    return finish(compile(words[1], words[2], compile_source));
  }
  if (command == "check" && words.size() == 2) {
    return finish(check(words[1]));
  }
  std::fputs("Error: give `wisp seccomp compile IN OUT` or `check FILE`; see --help\n", stderr);
  return ExitCode::ArgumentParsing;
}

}  // namespace wisp
