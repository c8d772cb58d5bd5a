#include "vmm/cli/landlock.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "vmm/base/fd.h"

namespace wisp {
namespace {

/// struct landlock_ruleset_attr of ABI 6; older kernels take a shorter prefix.
struct Ruleset {
  std::uint64_t files;
  std::uint64_t network;
  std::uint64_t scoped;
};
/// struct landlock_path_beneath_attr.
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed;
  std::int32_t parent_fd;
};
constexpr unsigned kAskForVersion = 1;
constexpr int kPathBeneath = 1;
constexpr std::uint64_t kExecute = 1U << 0;
constexpr std::uint64_t kWriteFile = 1U << 1;
constexpr std::uint64_t kReadFile = 1U << 2;
constexpr std::uint64_t kReadDir = 1U << 3;
constexpr std::uint64_t kRemoveDir = 1U << 4;
constexpr std::uint64_t kRemoveFile = 1U << 5;
constexpr std::uint64_t kMakeChar = 1U << 6;
constexpr std::uint64_t kMakeDir = 1U << 7;
constexpr std::uint64_t kMakeRegular = 1U << 8;
constexpr std::uint64_t kMakeSocket = 1U << 9;
constexpr std::uint64_t kMakeFifo = 1U << 10;
constexpr std::uint64_t kMakeBlock = 1U << 11;
constexpr std::uint64_t kMakeSym = 1U << 12;
constexpr std::uint64_t kTruncate = 1U << 14;     // ABI 3
constexpr std::uint64_t kDeviceIoctl = 1U << 15;  // ABI 5
constexpr std::uint64_t kBindAndConnectTcp = 3;   // ABI 4
constexpr std::uint64_t kAbstractAndSignals = 3;  // ABI 6

/// What nothing of ours ever does.
constexpr std::uint64_t kNever =
    kExecute | kRemoveDir | kMakeChar | kMakeDir | kMakeFifo | kMakeBlock | kMakeSym | kDeviceIoctl;
constexpr std::uint64_t kOpenFile = kReadFile | kWriteFile | kTruncate;
/// What live updates, snapshots, logs and sockets need.
constexpr std::uint64_t kWork = kOpenFile | kReadDir | kRemoveFile | kMakeRegular | kMakeSocket;

std::uint64_t known_to(int abi) {
  return ~((abi >= 3 ? 0 : kTruncate) | (abi >= 5 ? 0 : kDeviceIoctl));
}

int abi_of_kernel() {
  const auto abi = static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskForVersion));
  return abi > 0 ? abi : 0;
}

Fd make_ruleset(int abi, std::uint64_t files) {
  const Ruleset wanted = {files & known_to(abi), abi >= 4 ? kBindAndConnectTcp : 0, abi >= 6 ? kAbstractAndSignals : 0};
  const std::size_t size = abi >= 6 ? sizeof(Ruleset) : abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
  return Fd(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &wanted, size, 0)));
}

/// False when there is no such file; errno says why.
bool allow(const Fd& ruleset, const std::string& path, std::uint64_t rights) {
  const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place.valid()) {
    return false;
  }
  const PathBeneath rule{rights, place.raw()};
  return rights == 0 || ::syscall(SYS_landlock_add_rule, ruleset.raw(), kPathBeneath, &rule, 0) == 0;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

Status allow_paths(const Fd& ruleset, int abi, const PathRules& paths) {
  for (const std::string& folder : paths.folders) {
    if (!allow(ruleset, folder + "/", kWork & known_to(abi))) {
      return Error::host(errno, "cannot allow the folder '" + folder + "'", "Give --allow-path a folder that exists");
    }
  }
  for (const std::string& file : paths.files) {
    (void)allow(ruleset, file, kOpenFile & known_to(abi));  // one that does not exist is made in an allowed folder
  }
  if (!paths.socket.empty()) {
    (void)allow(ruleset, folder_of(paths.socket), kMakeSocket | kRemoveFile);
  }
  return {};
}

Error unavailable(const char* what) {
  return Error(ErrorCode::Unsupported, std::string("--allow-path needs Landlock, and ") + what +
                                           ". Use a kernel that has it, or the jail instead (wisp-jailer)");
}

}  // namespace

Result<int> enter_landlock(const PathRules& paths) {
  const bool is_wanted = !paths.folders.empty();
  const int abi = abi_of_kernel();
  const Fd ruleset = abi > 0 ? make_ruleset(abi, kNever | (is_wanted ? kWork : 0)) : Fd();
  if (!ruleset.valid()) {
    return is_wanted ? Result<int>(unavailable("this kernel has none")) : Result<int>(0);
  }
  const std::uint64_t device_rights = (is_wanted ? kReadFile | kWriteFile : 0) | kDeviceIoctl;
  for (const char* device : {"/dev/kvm", "/dev/net/tun", "/dev/userfaultfd"}) {
    (void)allow(ruleset, device, device_rights & known_to(abi));
  }
  if (is_wanted) {
    (void)WISP_TRY(allow_paths(ruleset, abi, paths));
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.raw(), 0) != 0) {
    return is_wanted ? Result<int>(unavailable("this kernel refuses the rules")) : Result<int>(0);
  }
  return abi;
}

bool close_file_system() {
  const int abi = abi_of_kernel();
  const Fd ruleset = abi > 0 ? make_ruleset(abi, kNever | kWork) : Fd();
  return ruleset.valid() && ::syscall(SYS_landlock_restrict_self, ruleset.raw(), 0) == 0;
}

}  // namespace wisp
