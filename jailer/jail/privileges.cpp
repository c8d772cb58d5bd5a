#include "jailer/jail/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "vmm/base/fd.h"

namespace wisp {
namespace {

constexpr int kHighestCapability = 63;
/// A user id 0 means nothing, no id change gives a capability back, and none of it can be changed again. The id change
/// below goes on clearing capabilities (NO_SETUID_FIXUP locked at off).
constexpr unsigned long kSecureBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                      SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

Status limit(__rlimit_resource_t resource, const char* name, std::uint64_t value) {
  const struct rlimit both = {value, value};
  return ::setrlimit(resource, &both) == 0
             ? Status()
             : Status(Error::host(errno, std::string("Failed to set limit for resource: ") + name));
}

Status empty_bounding_set() {
  for (int capability = 0; capability <= kHighestCapability; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL && capability > 0) {
        return {};  // beyond the last one that this kernel knows
      }
      return Error::host(errno, "Failed to empty the capability bounding set", "It needs CAP_SETPCAP");
    }
  }
  return {};
}

Status change_ids(uid_t uid, gid_t gid) {
  if (::setgroups(0, nullptr) != 0) {
    return Error::host(errno, "Failed to give up supplementary groups");
  }
  if (::setresgid(gid, gid, gid) != 0) {
    return Error::host(errno, "Failed to change to group " + std::to_string(gid));
  }
  if (::setresuid(uid, uid, uid) != 0) {
    return Error::host(errno, "Failed to change to user " + std::to_string(uid));
  }
  return {};
}

Status empty_capabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
      ::syscall(SYS_capset, &header, sets.data()) != 0) {
    return Error::host(errno, "Failed to give up capabilities");
  }
  return {};
}

Status verify_identity(uid_t uid, gid_t gid) {
  uid_t users[3] = {};
  gid_t groups[3] = {};
  bool good = ::getresuid(&users[0], &users[1], &users[2]) == 0 && ::getresgid(&groups[0], &groups[1], &groups[2]) == 0;
  for (int index = 0; index < 3; ++index) {
    good = good && users[index] == uid && groups[index] == gid;
  }
  good = good && ::getgroups(0, nullptr) == 0 && (uid == 0 || ::setresuid(0, 0, 0) != 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  good = good && ::syscall(SYS_capget, &header, sets.data()) == 0;
  for (const __user_cap_data_struct& set : sets) {
    good = good && (set.effective | set.permitted | set.inheritable) == 0;
  }
  good = good && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  return good
             ? Status()
             : Status(Error(ErrorCode::HostFault, "Failed to give up privileges: the kernel shows some that are left"));
}

}  // namespace

Status reset_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    (void)::sigaction(number, &action, nullptr);  // SIGKILL, SIGSTOP and the two of the C library cannot be changed
  }
  sigset_t none;
  ::sigemptyset(&none);
  return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 ? Status()
                                                         : Status(Error::host(errno, "Failed to unblock signals"));
}

Status set_limits(const ResourceLimits& limits) {
  (void)WISP_TRY(limit(RLIMIT_CORE, "core", 0));
  (void)WISP_TRY(limit(RLIMIT_NOFILE, "no-file", limits.max_open_files));
  return limits.max_file_bytes ? limit(RLIMIT_FSIZE, "fsize", *limits.max_file_bytes) : Status();
}

void leave_terminal() {
  // A leader of a process group (a shell's job) cannot have a session of its own; it gives up the terminal only.
  if (::setsid() < 0) {
    const Fd terminal(::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (terminal.valid() && ::getsid(0) != ::getpid()) {
      (void)::ioctl(terminal.raw(), TIOCNOTTY);
    }
  }
}

Status leave_keyring() {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS) {
    return Error::host(errno, "Failed to leave the session keyring");
  }
  return {};
}

Status drop_privileges(uid_t uid, gid_t gid) {
  (void)WISP_TRY(empty_bounding_set());
  if (::prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) != 0) {
    return Error::host(errno, "Failed to lock the securebits", "It needs CAP_SETPCAP");
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error::host(errno, "Failed to forbid new privileges");
  }
  (void)WISP_TRY(change_ids(uid, gid));
  (void)WISP_TRY(empty_capabilities());
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return Error::host(errno, "Failed to become undumpable");
  }
  return verify_identity(uid, gid);
}

}  // namespace wisp
