#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "vmm/base/fd.h"
#include "vmm/base/uninterrupted.h"
#include "vmm/doctor/host.h"
#include "vmm/doctor/text.h"
#include "vmm/kvm/system.h"

namespace wisp {
namespace {

constexpr std::size_t kMaxFileBytes = 64 * 1024;
constexpr unsigned kLandlockVersion = 1;
constexpr long kSysMseal = 462;  // younger than the C library's headers, as is the next
constexpr int kPrGetMdwe = 66;
constexpr const char* kKvm = "/dev/kvm";

int error_of(long result) {
  return result >= 0 ? 0 : errno;
}

/// Closes what a probe made.
int error_of_descriptor(long result) {
  const int error = error_of(result);
  const Fd made(static_cast<int>(result));
  return error;
}

int try_io_uring() {
  io_uring_params parameters{};
  return error_of_descriptor(::syscall(SYS_io_uring_setup, 1, &parameters));
}

int try_userfaultfd() {
  constexpr int kFlags = O_CLOEXEC | O_NONBLOCK;
  const Fd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  if (device.valid() && error_of_descriptor(::ioctl(device.raw(), USERFAULTFD_IOC_NEW, kFlags)) == 0) {
    return 0;
  }
  return error_of_descriptor(::syscall(SYS_userfaultfd, kFlags));
}

int try_seccomp() {
  const std::uint32_t action = SECCOMP_RET_TRAP;
  return error_of(::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

/// The name of a group, without the C library's name service, which a static program does not have.
std::string group_name(gid_t group) {
  const std::string number = std::to_string(group);
  const auto groups = ThisHost().read("/etc/group");
  for (const std::string& line : text::lines(groups.value_or(""))) {
    const auto fields = text::split(line, ':');
    if (fields.size() >= 3 && fields[2] == number) {
      return fields[0];
    }
  }
  return number;
}

std::string user_name(uid_t user) {
  const std::string number = std::to_string(user);
  const auto users = ThisHost().read("/etc/passwd");
  for (const std::string& line : text::lines(users.value_or(""))) {
    const auto fields = text::split(line, ':');
    if (fields.size() >= 3 && fields[2] == number) {
      return fields[0];
    }
  }
  return number;
}

}  // namespace

std::optional<std::string> ThisHost::read(const std::string& path) const {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) {
    return std::nullopt;
  }
  std::string content(kMaxFileBytes, '\0');
  std::size_t used = 0;
  while (used < content.size()) {
    const ssize_t count =
        uninterrupted([&] { return ::read(file.raw(), content.data() + used, content.size() - used); });
    if (count < 0) {
      return std::nullopt;
    }
    if (count == 0) {
      break;
    }
    used += static_cast<std::size_t>(count);
  }
  content.resize(used);
  if (content.ends_with('\n')) {
    content.pop_back();
  }
  return content;
}

std::vector<std::string> ThisHost::list(const std::string& folder) const {
  std::vector<std::string> names;
  DIR* opened = ::opendir(folder.c_str());
  if (opened == nullptr) {
    return names;
  }
  while (const dirent* entry = ::readdir(opened)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names.push_back(name);
    }
  }
  ::closedir(opened);
  std::ranges::sort(names);
  return names;
}

std::optional<DeviceNode> ThisHost::device(const std::string& path) const {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) {
    return std::nullopt;
  }
  return DeviceNode{status.st_uid, status.st_gid, status.st_mode & 0777, group_name(status.st_gid)};
}

int ThisHost::open_error(const std::string& path) const {
  return error_of_descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

int ThisHost::probe(Probe which) const {
  switch (which) {
    case Probe::IoUring: return try_io_uring();
    case Probe::Userfaultfd: return try_userfaultfd();
    case Probe::Seccomp: return try_seccomp();
    case Probe::Mseal: return error_of(::syscall(kSysMseal, 0, 0, 0));
    case Probe::Mdwe: return error_of(::prctl(kPrGetMdwe, 0, 0, 0, 0));
  }
  return ENOSYS;
}

int ThisHost::landlock_abi() const {
  return std::max(0, static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, kLandlockVersion)));
}

int ThisHost::kvm_api_version() const {
  return kvm_api_version_of(kKvm);
}

int ThisHost::kvm_capability(int number) const {
  return kvm_capability_of(kKvm, number);
}

User ThisHost::user() const {
  User user{::geteuid(), user_name(::geteuid()), {}};
  const int count = ::getgroups(0, nullptr);
  user.groups.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (::getgroups(count, user.groups.data()) < 0) {
    user.groups.clear();
  }
  user.groups.push_back(::getegid());
  return user;
}

Limits ThisHost::limits() const {
  rlimit files{};
  rlimit locked{};
  (void)::getrlimit(RLIMIT_NOFILE, &files);
  (void)::getrlimit(RLIMIT_MEMLOCK, &locked);
  return {files.rlim_cur, files.rlim_max, locked.rlim_cur};
}

}  // namespace wisp
