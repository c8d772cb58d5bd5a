// Compiles the policy with libseccomp at build time; never part of the monitor.
//
//   seccomp_policy emit FILE               the filters as C++ arrays
//   seccomp_policy split FOLDER [RULE...]  one FOLDER/KIND.bpf a thread kind, without these rules
//   (scripts/seccomp-audit) seccomp_policy rules                   one numbered line a rule seccomp_policy table the
//   tables of docs/seccomp-table.md
#include <linux/filter.h>
#include <seccomp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "jailer/seccomp/policy/policy.h"
#include "jailer/seccomp/policy/table.h"

namespace wisp::seccomp {
namespace {

constexpr int kHighestCallNumber = 511;
constexpr std::uint32_t kBinaryTree = 2;

struct Release {
  void operator()(void* context) const { ::seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

[[noreturn]] void fail(const char* what, const char* object, int error) {
  std::fprintf(stderr, "seccomp_policy: cannot %s '%s': %s\n", what, object, std::strerror(error));
  std::exit(1);
}

void add(const Context& context, std::uint32_t action, const char* name, const Conditions& conditions) {
  const int number = ::seccomp_syscall_resolve_name(name);
  if (number < 0) {
    fail("resolve the call", name, ENOSYS);
  }
  std::vector<scmp_arg_cmp> compares;
  for (const Condition& each : conditions.view()) {
    compares.push_back({each.index, SCMP_CMP_MASKED_EQ, each.mask, each.value});
  }
  const int result =
      ::seccomp_rule_add_array(context.get(), action, number, static_cast<unsigned>(compares.size()), compares.data());
  if (result != 0) {
    fail("add a rule for", name, -result);
  }
}

std::vector<sock_filter> export_program(const Context& context) {
  std::FILE* file = std::tmpfile();
  if (file == nullptr || ::seccomp_export_bpf(context.get(), ::fileno(file)) != 0) {
    fail("export", "the filter", errno);
  }
  std::rewind(file);
  std::vector<sock_filter> program;
  for (sock_filter each{}; std::fread(&each, sizeof(each), 1, file) == 1;) {
    program.push_back(each);
  }
  std::fclose(file);
  return program;
}

/// Other architectures and the x32 numbers are not even looked at: killed.
std::vector<sock_filter> compile(ThreadKind kind, const std::set<std::size_t>& left_out) {
  const Context context(::seccomp_init(SCMP_ACT_TRAP));
  (void)::seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  (void)::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree);
  for (std::size_t index = 0; index < rules().size(); ++index) {
    const Rule& rule = rules()[index];
    if (!left_out.contains(index) && applies(rule, kind)) {
      add(context, SCMP_ACT_ALLOW, rule.call, rule.conditions);
    }
  }
  for (const Never& rule : never()) {
    add(context, SCMP_ACT_KILL_PROCESS, rule.call, rule.conditions);
  }
  add(context, SCMP_ACT_ERRNO(ENOSYS), "clone3", {});
  return export_program(context);
}

void emit_program(std::FILE* out, const char* name, const std::vector<sock_filter>& program) {
  std::fprintf(out, "constexpr sock_filter %s[] = {\n", name);
  for (const sock_filter& each : program) {
    std::fprintf(out, "    {0x%04x, %u, %u, 0x%08x},\n", each.code, each.jt, each.jf, each.k);
  }
  std::fprintf(out, "};\n\n");
}

/// All names in one text and 16-bit positions in it: pointers would have to be relocated at every start.
void emit_names(std::FILE* out) {
  std::string positions;
  std::size_t position = 1;
  std::fprintf(out, "constexpr char kCallNames[] =\n    \"\\0\"\n");
  for (int number = 0; number <= kHighestCallNumber; ++number) {
    char* name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
    positions += std::to_string(name == nullptr ? 0 : position) + ", ";
    if (name != nullptr) {
      std::fprintf(out, "    \"%s\\0\"\n", name);
      position += std::strlen(name) + 1;
      std::free(name);
    }
  }
  std::fprintf(out, "    ;\n\nconstexpr std::uint16_t kCallNamePositions[] = {%s};\n\n", positions.c_str());
}

int emit(const char* path) {
  std::FILE* out = std::fopen(path, "w");
  if (out == nullptr) {
    fail("write", path, errno);
  }
  std::fprintf(out,
               "// Made by seccomp_policy from jailer/seccomp/policy/policy.cpp.\n#include <linux/filter.h>\n\n"
               "#include \"jailer/seccomp/built_in.h\"\n\nnamespace wisp::seccomp {\nnamespace {\n\n");
  emit_program(out, "kSetupProgram", compile(ThreadKind::Setup, {}));
  emit_program(out, "kLoopProgram", compile(ThreadKind::Loop, {}));
  emit_program(out, "kApiProgram", compile(ThreadKind::Api, {}));
  emit_program(out, "kVcpuProgram", compile(ThreadKind::Vcpu, {}));
  emit_program(out, "kGuardProgram", compile(ThreadKind::Guard, {}));
  emit_names(out);
  std::fprintf(out,
               "}  // namespace\n\n"
               "const Program kBuiltInSetup = kSetupProgram;\nconst Program kBuiltInLoop = kLoopProgram;\n"
               "const Program kBuiltInApi = kApiProgram;\nconst Program kBuiltInVcpu = kVcpuProgram;\nconst Program "
               "kBuiltInGuard = kGuardProgram;\n"
               "const std::span<const char> kBuiltInCallNames = kCallNames;\n"
               "const std::span<const std::uint16_t> kBuiltInCallNamePositions = kCallNamePositions;\n\n"
               "}  // namespace wisp::seccomp\n");
  return std::fclose(out) == 0 ? 0 : 1;
}

int split(const std::string& folder, const std::set<std::size_t>& left_out) {
  for (const ThreadKind kind :
       {ThreadKind::Setup, ThreadKind::Loop, ThreadKind::Api, ThreadKind::Vcpu, ThreadKind::Guard}) {
    const std::string path = folder + "/" + to_string(kind) + ".bpf";
    const auto program = compile(kind, left_out);
    std::FILE* out = std::fopen(path.c_str(), "w");
    if (out == nullptr || std::fwrite(program.data(), sizeof(sock_filter), program.size(), out) != program.size() ||
        std::fclose(out) != 0) {
      fail("write", path.c_str(), errno);
    }
  }
  return 0;
}

int main_with(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "emit" && argc > 2) {
    return emit(argv[2]);
  }
  if (command == "split" && argc > 2) {
    std::set<std::size_t> left_out;
    for (int index = 3; index < argc; ++index) {
      left_out.insert(std::strtoul(argv[index], nullptr, 10));
    }
    return split(argv[2], left_out);
  }
  if (command == "rules") {
    print_rules();
    return 0;
  }
  if (command == "table") {
    print_tables();
    return 0;
  }
  std::fprintf(stderr, "usage: seccomp_policy emit FILE | split FOLDER [RULE...] | rules | table\n");
  return 1;
}

}  // namespace
}  // namespace wisp::seccomp

int main(int argc, char** argv) {
  return wisp::seccomp::main_with(argc, argv);
}
