// The prisoner: a static program that wisp-jailer starts in place of the monitor. It tries what a broken monitor would
// try and writes what it found to /run/report (and standard output), one `key value` a line; jail_test.py judges it.
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

extern char** environ;

namespace {

std::string report;

void tell(const char* key, const std::string& value) {
  report += std::string(key) + " " + value + "\n";
}
void tell(const char* key, long value) {
  tell(key, std::to_string(value));
}
/// 0 or the errno of what was tried.
void tell_outcome(const char* key, long result) {
  tell(key, result < 0 ? static_cast<long>(errno) : 0L);
}

void identity() {
  uid_t user[3];
  gid_t group[3];
  (void)::getresuid(&user[0], &user[1], &user[2]);
  (void)::getresgid(&group[0], &group[1], &group[2]);
  tell("uids", std::to_string(user[0]) + "," + std::to_string(user[1]) + "," + std::to_string(user[2]));
  tell("gids", std::to_string(group[0]) + "," + std::to_string(group[1]) + "," + std::to_string(group[2]));
  tell("groups", ::getgroups(0, nullptr));
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2] = {};
  (void)::syscall(SYS_capget, &header, sets);
  tell("caps", sets[0].effective | sets[0].permitted | sets[0].inheritable | sets[1].effective | sets[1].permitted);
  long bounding = 0;
  long ambient = 0;
  for (unsigned long each = 0; each < 64; ++each) {
    bounding += ::prctl(PR_CAPBSET_READ, each, 0, 0, 0) > 0 ? 1 : 0;
    ambient += ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, each, 0, 0) > 0 ? 1 : 0;
  }
  tell("bounding", bounding);
  tell("ambient", ambient);
  tell("securebits", ::prctl(PR_GET_SECUREBITS));
  tell("no_new_privs", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  tell("dumpable", ::prctl(PR_GET_DUMPABLE));
}

void inheritance(int argc, char** argv) {
  long open_descriptors = 0;
  for (int fd = 3; fd < 4096; ++fd) {
    open_descriptors += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  }
  tell("descriptors", open_descriptors);
  tell("environment", environ[0] == nullptr ? 0L : 1L);
  char name[16] = {};
  (void)::prctl(PR_GET_NAME, name);
  tell("comm", name);
  for (int index = 0; index < argc; ++index) {
    tell(("arg" + std::to_string(index)).c_str(), argv[index]);
  }
  const mode_t mask = ::umask(0);
  (void)::umask(mask);
  tell("umask", static_cast<long>(mask));
  long ignored = 0;
  sigset_t blocked;
  (void)::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  long blocked_count = 0;
  for (int number = 1; number < 32; ++number) {
    struct sigaction action {};
    ignored += ::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL ? 1 : 0;
    blocked_count += ::sigismember(&blocked, number) == 1 ? 1 : 0;
  }
  tell("signals_not_default", ignored);
  tell("signals_blocked", blocked_count);
  tell("pid", ::getpid());
  tell("leads_session", ::getsid(0) == ::getpid() ? 1L : 0L);
}

void limits() {
  for (const auto& [key, resource] :
       {std::pair("no_file", RLIMIT_NOFILE), std::pair("fsize", RLIMIT_FSIZE), std::pair("core", RLIMIT_CORE)}) {
    struct rlimit both {};
    (void)::getrlimit(resource, &both);
    tell(key,
         std::to_string(static_cast<long>(both.rlim_cur)) + "," + std::to_string(static_cast<long>(both.rlim_max)));
  }
}

void list(const char* key, const char* path) {
  std::string names;
  if (DIR* folder = ::opendir(path)) {
    while (const dirent* entry = ::readdir(folder)) {
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) {
        names += std::string(entry->d_name) + ",";
      }
    }
    ::closedir(folder);
  }
  tell(key, names);
}

void flags(const char* key, const std::string& path) {
  struct statvfs system {};
  (void)::statvfs(path.c_str(), &system);
  std::string text;
  for (const auto& [name, bit] : {std::pair("ro", ST_RDONLY), std::pair("nosuid", ST_NOSUID),
                                  std::pair("nodev", ST_NODEV), std::pair("noexec", ST_NOEXEC)}) {
    text += (system.f_flag & static_cast<unsigned long>(bit)) != 0 ? std::string(name) + "," : "";
  }
  tell(key, text);
}

void files(const std::string& program) {
  char folder[512] = {};
  tell("cwd", ::getcwd(folder, sizeof(folder)) != nullptr ? folder : "none");
  list("ls_root", "/");
  list("ls_up", "/../..");
  flags("flags_root", "/");
  flags("flags_dev", "/dev");
  flags("flags_run", "/run");
  flags("flags_program", program);
  tell_outcome("open_proc", ::open("/proc/self/status", O_RDONLY));
  tell_outcome("open_etc", ::open("/etc/passwd", O_RDONLY));
  tell_outcome("write_program", ::open(program.c_str(), O_WRONLY));
  tell_outcome("read_program", ::open(program.c_str(), O_RDONLY));
  tell_outcome("unlink_program", ::unlink(program.c_str()));
  tell_outcome("rename_program", ::rename(program.c_str(), "/moved"));
  tell_outcome("chmod_root", ::chmod("/", 0777));
  tell_outcome("rename_dev", ::rename("/dev", "/dev2"));
  tell_outcome("make_file", ::open("/own-file", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  tell_outcome("unlink_own_file", ::unlink("/own-file"));
  tell_outcome("make_in_dev", ::open("/dev/file", O_CREAT | O_RDWR, 0600));
  tell_outcome("open_tun", ::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  tell_outcome("open_kvm", ::open("/dev/kvm", O_RDWR | O_CLOEXEC));
}

/// Runs code that it wrote itself; the kernel must refuse because of where the file lies.
void run_own_code(const char* key, const char* path) {
  const int fd = ::open(path, O_CREAT | O_WRONLY | O_TRUNC, 0700);
  (void)!::write(fd,
                 "\x7f"
                 "ELF",
                 4);
  ::close(fd);
  char* const words[] = {nullptr};
  tell_outcome(key, ::execve(path, words, words));
  (void)::unlink(path);
}

void escapes() {
  tell_outcome("setuid_0", ::setresuid(0, 0, 0));
  tell_outcome("mknod", ::mknod("/run/node", S_IFCHR | 0600, makedev(1, 3)));
  tell_outcome("mount", ::mount("none", "/run", "tmpfs", 0, nullptr));
  tell_outcome("remount", ::mount("none", "/", nullptr, MS_REMOUNT | MS_BIND, nullptr));
  tell_outcome("chroot", ::chroot("/run"));
  tell_outcome("unshare_mounts", ::unshare(CLONE_NEWNS));
  tell_outcome("sethostname", ::sethostname("x", 1));
  tell_outcome("raise_files", [] {
    const struct rlimit more = {1U << 20, 1U << 20};
    return ::setrlimit(RLIMIT_NOFILE, &more);
  }());
  tell_outcome("bounding_set", ::prctl(PR_SET_SECUREBITS, 0));
  tell_outcome("keyring", ::syscall(SYS_keyctl, 6 /* describe */, -3 /* session */, nullptr, 0));
  tell_outcome("signal_init", ::getpid() == 1 ? (errno = EPERM, -1) : ::kill(1, 0));
  tell_outcome("ptrace_parent", ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr));
  tell_outcome("tty", ::open("/dev/tty", O_RDWR));
  run_own_code("exec_from_run", "/run/code");
  run_own_code("exec_from_root", "/code");
  struct utsname system {};
  (void)::uname(&system);
  tell("hostname", system.nodename);
  struct stat net {};
  tell("disk_node", ::stat("/disk", &net) == 0 ? static_cast<long>(::open("/disk", O_RDONLY) < 0 ? errno : 0) : -1L);
  tell("mounted_file", static_cast<long>(::access("/inside/mark", R_OK) == 0 ? 0 : errno));
  struct if_nameindex* links = ::if_nameindex();
  std::string names;
  for (struct if_nameindex* each = links; each != nullptr && each->if_index != 0; ++each) {
    names += std::string(each->if_name) + ",";
  }
  tell("links", names);
}

void publish() {
  (void)!::write(STDOUT_FILENO, report.data(), report.size());
  const int fd = ::open("/run/report.new", O_CREAT | O_WRONLY | O_TRUNC, 0600);
  (void)!::write(fd, report.data(), report.size());
  ::close(fd);
  (void)::rename("/run/report.new", "/run/report");
}

}  // namespace

/// With the last word `stay` it waits to be ended.
int main(int argc, char** argv) {
  identity();
  inheritance(argc, argv);
  limits();
  files(std::string("/") + argv[0]);
  escapes();
  publish();
  while (std::strcmp(argv[argc - 1], "stay") == 0) {
    ::pause();
  }
  return 0;
}
