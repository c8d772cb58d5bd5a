#include "jailer/jail/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

// <sys/mount.h> and <linux/mount.h> cannot be included together before glibc 2.37.
extern "C" int mount(const char* source, const char* target, const char* type, unsigned long flags, const void* data);
extern "C" int umount2(const char* target, int flags);

namespace wisp {
namespace {

constexpr int kDetach = 2;  // MNT_DETACH

/// A copy of the mount tree that begins at `folder`, attached nowhere yet.
Fd clone_mounts(FdRef folder, const char* name) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW |
                         (name[0] == '\0' ? static_cast<unsigned>(AT_EMPTY_PATH) : 0U);
  return Fd(static_cast<int>(::syscall(SYS_open_tree, folder.raw(), name, flags)));
}

bool attach(FdRef tree, FdRef folder) {
  const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return ::syscall(SYS_move_mount, tree.raw(), "", folder.raw(), "", flags) == 0;
}

bool same_file(FdRef one, FdRef other) {
  struct stat a {};
  struct stat b {};
  return ::fstat(one.raw(), &a) == 0 && ::fstat(other.raw(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool remount(const char* target, unsigned long flags) {
  return ::mount("none", target, nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) == 0;
}

/// Mounts a folder of the jail over itself, so that it can have flags of its own. Leaves the working folder there.
Status flag_folder(const Folder& folder, const char* name, unsigned long flags) {
  const std::string failure = std::string("Failed to set the mount flags of /") + name;
  const Fd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd place = open_beneath(root.ref(), name, O_PATH | O_DIRECTORY);
  if (!place.valid()) {
    return Error::host(errno, failure);
  }
  if (!same_file(place.ref(), folder.fd.ref())) {
    return Error(ErrorCode::HostFault,
                 failure + ": the folder was exchanged meanwhile. Stop whatever works in the jail");
  }
  const Fd copy = clone_mounts(place.ref(), "");
  if (!copy.valid() || !attach(copy.ref(), place.ref()) || ::fchdir(copy.raw()) != 0 || !remount(".", flags)) {
    return Error::host(errno, failure);
  }
  return {};
}

}  // namespace

Status enter_namespaces(const JailTree& tree, const std::string& id) {
  if (::fchdir(tree.root.fd.raw()) != 0) {
    return Error::host(errno, "Failed to enter the jail root directory " + tree.root.path);
  }
  if (::unshare(CLONE_NEWNS) != 0) {
    return Error::host(errno, "Failed to unshare into new mount namespace", "It needs CAP_SYS_ADMIN");
  }
  if (::unshare(CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
    return Error::host(errno, "Failed to unshare into new IPC and UTS namespaces");
  }
  // A kernel without cgroup namespaces says EINVAL; the jail has no cgroup files in it anyway.
  if (::unshare(CLONE_NEWCGROUP) != 0 && errno != EINVAL) {
    return Error::host(errno, "Failed to unshare into new cgroup namespace");
  }
  if (::sethostname(id.data(), id.size()) != 0 || ::setdomainname("", 0) != 0) {
    return Error::host(errno, "Failed to set the host name of the jail");
  }
  return {};
}

Status pivot_into(const JailTree& tree) {
  if (::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0) {
    return Error::host(errno, "Failed to change the propagation type to private");
  }
  // The working folder followed us into the new namespace; the descriptor of the root folder did not.
  const Fd here(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd copy = clone_mounts(FdRef(AT_FDCWD), ".");
  if (!here.valid() || !copy.valid() || !attach(copy.ref(), here.ref()) || ::fchdir(copy.raw()) != 0) {
    return Error::host(errno, "Failed to bind mount the jail root directory " + tree.root.path);
  }
  // Old and new root on the same place: the old one ends up mounted over the new one, and is detached from there.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) {
    return Error::host(errno, "Failed to pivot root", "The host's root must be a mount (not the initial ramfs)");
  }
  if (::umount2(".", kDetach) != 0) {
    return Error::host(errno, "Failed to unmount the old jail root");
  }
  return ::chdir("/") == 0 ? Status() : Status(Error::host(errno, "Failed to enter the new root"));
}

Status set_mount_flags(const JailTree& tree, const Program& program) {
  const unsigned long nodev = tree.disk_nodes == DiskNodes::Allowed ? 0 : MS_NODEV;
  const unsigned long noexec = program.interpreter ? 0 : MS_NOEXEC;
  const std::string path = "/" + program.name;  // root's name in root's sticky folder: nobody can exchange it
  if (::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      !remount(path.c_str(), MS_RDONLY | MS_NOSUID | MS_NODEV)) {
    return Error::host(errno, "Failed to set the mount flags of " + path);
  }
  (void)WISP_TRY(flag_folder(tree.dev, "dev", MS_RDONLY | MS_NOSUID | MS_NOEXEC));
  (void)WISP_TRY(flag_folder(tree.run, "run", MS_NOSUID | MS_NOEXEC | MS_NODEV));
  if (::chdir("/") != 0 || !remount("/", MS_NOSUID | nodev | noexec)) {
    return Error::host(errno, "Failed to set the mount flags of the jail root");
  }
  return {};
}

Status verify_root(const JailTree& tree) {
  const Fd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd above(::open("/..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd here(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const Fd* each : {&root, &above, &here}) {
    if (!each->valid() || !same_file(each->ref(), tree.root.fd.ref())) {
      return Error(ErrorCode::HostFault, "Failed to pivot root: the new root is not " + tree.root.path);
    }
  }
  return {};
}

}  // namespace wisp
