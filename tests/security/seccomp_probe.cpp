// A program with the monitor's own filters, signal handlers and hardening that then tries what it is told to:
//
//   seccomp_probe KIND CALL [ARGUMENT...]   makes the call in a confined thread of that kind; exit 0: it went through
//   seccomp_probe hardening                 no filters: one line "name errno" for each forbidden act
//   seccomp_probe paths FOLDER              the same with --allow-path FOLDER, which holds a file named "file"
//
// seccomp_test.py judges what comes out.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "jailer/seccomp/filters.h"
#include "vmm/cli/hardening.h"
#include "vmm/cli/process.h"

namespace wisp {
namespace {

struct Act {
  ThreadKind kind = ThreadKind::Setup;
  long number = -1;
  std::array<long, 6> arguments{};
};

[[noreturn]] void try_act(const Act& act) {
  const auto& a = act.arguments;
  const long result = ::syscall(act.number, a[0], a[1], a[2], a[3], a[4], a[5]);
  std::fprintf(stderr, "went through: %ld\n", result);
  std::fflush(stderr);
  ::_exit(0);
}

void* thread_main(void* argument) {
  const Act& act = *static_cast<Act*>(argument);
  confine_this_thread(act.kind);
  try_act(act);
}

/// As the monitor does it: an API thread before Setup is in place, the others below it.
[[noreturn]] void confine_and_try(Act& act) {
  static SignalMetrics metrics;
  auto signals = install_signal_handlers(metrics, nullptr);
  seccomp::use(seccomp::FilterSet::built_in());
  set_last_words([] { std::fputs("last words\n", stderr); });
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  pthread_t thread{};
  if (act.kind == ThreadKind::Api) {
    (void)::pthread_create(&thread, nullptr, thread_main, &act);
  }
  confine_this_thread(ThreadKind::Setup);
  if (act.kind == ThreadKind::Setup) {
    try_act(act);
  }
  if (act.kind == ThreadKind::Loop) {
    confine_this_thread(ThreadKind::Loop);
    try_act(act);
  }
  if (act.kind != ThreadKind::Api) {
    (void)::pthread_create(&thread, nullptr, thread_main, &act);
  }
  // The loop's part: the refused thread tells it, and it ends the process.
  pollfd refused{signals.value().raw(), POLLIN, 0};
  while (::poll(&refused, 1, -1) != 1) {
  }
  std::fputs("last words\n", stderr);
  ::_exit(to_int(ExitCode::BadSyscall));
}

void tell(const char* name, long result) {
  std::printf("%s %d\n", name, result < 0 ? errno : 0);
}

int try_hardening() {
  void* plain = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const HardeningReport report = harden_process({}).value();
  std::printf("landlock_abi %d\nmissing %zu\n", report.landlock_abi, report.missing.size());
  std::printf("no_new_privs %d\ndumpable %d\n", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), ::prctl(PR_GET_DUMPABLE));
  rlimit core{};
  (void)::getrlimit(RLIMIT_CORE, &core);
  std::printf("core_limit %lu\n", static_cast<unsigned long>(core.rlim_max));
  char path[] = "/bin/true";
  char* words[] = {path, nullptr};
  tell("execute", ::execve(path, words, words + 1));
  tell("make_char_device", ::mknod("probe_node", S_IFCHR | 0600, makedev(1, 3)));
  tell("make_block_device", ::mknod("probe_node", S_IFBLK | 0600, makedev(7, 0)));
  tell("make_folder", ::mkdir("probe_folder", 0700));
  tell("make_symlink", ::symlink("/etc/passwd", "probe_link"));
  tell("connect_tcp", ::connect(tcp, reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  tell("signal_parent", ::kill(::getppid(), 0));
  tell("make_executable", ::mprotect(plain, 4096, PROT_READ | PROT_EXEC));
  const auto code = reinterpret_cast<std::uintptr_t>(&try_hardening) & ~std::uintptr_t{4095};
  tell("unmap_code", ::munmap(reinterpret_cast<void*>(code), 4096));
  tell("write_code", ::mprotect(reinterpret_cast<void*>(code), 4096, PROT_READ | PROT_WRITE));
  const int file = ::open("probe_file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  tell("make_file", file);
  return 0;
}

void tell_opening(const char* name, const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  tell(name, file);
  (void)::close(file);
}

/// From a thread that began after the restriction.
void* try_opening(void* argument) {
  const std::string folder = *static_cast<std::string*>(argument);
  tell_opening("thread_inside", folder + "/file", O_RDONLY);
  tell_opening("thread_passwd", "/etc/passwd", O_RDONLY);
  return nullptr;
}

int try_paths(std::string folder) {
  const auto report = harden_process({{folder}, {}, ""});
  if (!report.ok()) {
    std::printf("refused 1\n");
    return 0;
  }
  tell_opening("inside", folder + "/file", O_RDWR);
  tell_opening("make_inside", folder + "/new", O_RDWR | O_CREAT | O_EXCL);
  tell("remove_inside", ::unlink((folder + "/new").c_str()));
  tell_opening("passwd", "/etc/passwd", O_RDONLY);
  tell_opening("by_dots", folder + "/../../../../../../etc/passwd", O_RDONLY);
  tell_opening("by_link", folder + "/link", O_RDONLY);
  tell_opening("make_outside", folder + "/../outside", O_RDWR | O_CREAT);
  tell_opening("truncate_outside", "/dev/null", O_WRONLY | O_TRUNC);
  pthread_t thread{};
  (void)::pthread_create(&thread, nullptr, try_opening, &folder);
  (void)::pthread_join(thread, nullptr);
  std::printf("closed %d\n", close_file_system() ? 1 : 0);
  tell_opening("inside_after_closing", folder + "/file", O_RDONLY);
  return 0;
}

int main_with(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "hardening") {
    return try_hardening();
  }
  if (argc == 3 && std::string(argv[1]) == "paths") {
    return try_paths(argv[2]);
  }
  static Act act;
  for (const ThreadKind kind :
       {ThreadKind::Setup, ThreadKind::Loop, ThreadKind::Api, ThreadKind::Vcpu, ThreadKind::Guard}) {
    if (argc > 2 && std::string(argv[1]) == to_string(kind)) {
      act.kind = kind;
      act.number = seccomp::call_number(argv[2]);
    }
  }
  if (act.number < 0) {
    std::fprintf(stderr, "usage: seccomp_probe setup|vmm|api|vcpu|guard CALL [ARGUMENT...] | hardening\n");
    return 2;
  }
  for (int index = 3; index < argc && index < 9; ++index) {
    act.arguments[static_cast<std::size_t>(index - 3)] = std::strtol(argv[index], nullptr, 0);
  }
  confine_and_try(act);
}

}  // namespace
}  // namespace wisp

int main(int argc, char** argv) {
  return wisp::main_with(argc, argv);
}
