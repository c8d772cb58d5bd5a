// jail_floor: the physical limit of a jailer with a copy of the program on this host. The bare calls that leave the
// same folders, nodes, namespaces, mounts and privileges as wisp-jailer does, in the same places, without one check or
// a way back.
//
//   jail_floor PROGRAM HOME UID [ARGUMENT...]     HOME: the jail's folder BASE/NAME/ID, not there yet
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "checked.h"

namespace {

constexpr int kLastCapability = 40;

void make_node(const char* path, dev_t device, uid_t uid) {
  checked(mknod(path, S_IFCHR | 0600, device), path);
  checked(chown(path, uid, uid), path);
}

void copy_program(const char* from) {
  const int source = checked(open(from, O_RDONLY | O_CLOEXEC), from);
  const int copy = checked(open("program", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0711), "program");
  struct stat status {};
  checked(fstat(source, &status), from);
  (void)fallocate(copy, 0, 0, status.st_size);
  for (ssize_t left = status.st_size; left > 0;) {
    const ssize_t count = copy_file_range(source, nullptr, copy, nullptr, static_cast<std::size_t>(left), 0);
    checked(count > 0 ? 0 : -1, "copy_file_range");
    left -= count;
  }
  close(copy);
}

void make_files(const char* program, const char* home, uid_t uid) {
  checked(mkdir(home, 0755), home);
  checked(chdir(home), home);
  checked(mkdir("root", 01770), "root");
  checked(chdir("root"), "root");
  checked(chown(".", 0, uid), "root");
  copy_program(program);
  checked(mkdir("dev", 0710), "dev");
  checked(chown("dev", 0, uid), "dev");
  make_node("dev/kvm", makedev(10, 232), uid);
  checked(mkdir("dev/net", 0710), "dev/net");
  checked(chown("dev/net", 0, uid), "dev/net");
  make_node("dev/net/tun", makedev(10, 200), uid);
  make_node("dev/userfaultfd", makedev(10, 126), uid);
  checked(mkdir("run", 0700), "run");
  checked(chown("run", uid, uid), "run");
  const int record = checked(open("program.pid", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), "program.pid");
  checked(static_cast<int>(write(record, "1", 1)), "program.pid");
}

void bind(const char* path, unsigned long flags) {
  checked(mount(path, path, nullptr, MS_BIND, nullptr), path);
  checked(mount("none", path, nullptr, MS_REMOUNT | MS_BIND | flags, nullptr), path);
}

void enter() {
  checked(unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP), "unshare");
  checked(mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), "private");
  checked(mount(".", ".", nullptr, MS_BIND | MS_REC, nullptr), "bind");
  char here[4096];
  checked(getcwd(here, sizeof(here)) != nullptr ? 0 : -1, "getcwd");
  checked(chdir(here), here);
  checked(static_cast<int>(syscall(SYS_pivot_root, ".", ".")), "pivot_root");
  checked(umount2(".", MNT_DETACH), "umount");
  checked(chdir("/"), "/");
  bind("/program", MS_RDONLY | MS_NOSUID | MS_NODEV);
  bind("/dev", MS_RDONLY | MS_NOSUID | MS_NOEXEC);
  bind("/run", MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

void drop(uid_t uid) {
  for (int capability = 0; capability <= kLastCapability; ++capability) {
    checked(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "bounding set");
  }
  checked(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  checked(setgroups(0, nullptr), "setgroups");
  checked(setresgid(uid, uid, uid), "setresgid");
  checked(setresuid(uid, uid, uid), "setresuid");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: jail_floor PROGRAM HOME UID [ARGUMENT...]\n", stderr);
    return 1;
  }
  const auto uid = static_cast<uid_t>(std::atoi(argv[3]));
  umask(0);
  make_files(argv[1], argv[2], uid);
  enter();
  drop(uid);
  argv[3] = argv[1];
  char* const no_environment[] = {nullptr};
  execve("/program", argv + 3, no_environment);
  fail("execve");
}
