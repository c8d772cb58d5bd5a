#include "jailer/jail/host_view.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "jailer/jail/tree.h"

namespace wisp {
namespace {

constexpr unsigned kMiscMajor = 10;
constexpr unsigned kKvmMinor = 232;
constexpr unsigned kTunMinor = 200;

Result<Folder> open_base(const std::string& path) {
  Folder base;
  base.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!base.fd.valid()) {
    return Error::host(errno, "Failed to canonicalize path " + path,
                       "Make the folder, or give another --chroot-base-dir");
  }
  struct stat status {};
  if (::fstat(base.fd.raw(), &status) != 0) {
    return Error::host(errno, "Failed to inspect the folder " + path);
  }
  if (!S_ISDIR(status.st_mode)) {
    return Error(ErrorCode::InvalidArgument, path + " is not a directory. Give --chroot-base-dir a folder");
  }
  base.path = WISP_TRY(path_of(base.fd.ref(), path));
  (void)WISP_TRY(check_folder(status, base.path, Trust{}));
  return base;
}

Result<Fd> open_netns(const std::string& path) {
  const auto wrong = [&](const std::string& why) {
    return Error(ErrorCode::InvalidArgument, "Failed to join network namespace: " + path + ": " + why +
                                                 ". Give --netns a file such as /var/run/netns/NAME");
  };
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    return Error::host(errno, "Failed to join network namespace: " + path,
                       "Give --netns an existing one (ip netns add)");
  }
  struct statfs system {};
  if (::fstatfs(fd.raw(), &system) != 0 || system.f_type != NSFS_MAGIC) {
    return wrong("not a namespace");
  }
  if (::ioctl(fd.raw(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return wrong("a namespace of another kind");
  }
  return fd;
}

bool exists(const char* path) {
  struct stat status {};
  return ::stat(path, &status) == 0;
}

std::vector<DeviceNode> choose_devices(const DeviceChoice& choice) {
  std::vector<DeviceNode> nodes;
  if (choice.kvm) {
    nodes.push_back({"", "kvm", kMiscMajor, kKvmMinor});
  }
  if (choice.tun && exists("/dev/net/tun")) {
    nodes.push_back({"net", "tun", kMiscMajor, kTunMinor});
  }
  if (choice.userfaultfd) {
    const Fd misc(::open("/proc/misc", O_RDONLY | O_CLOEXEC));
    const auto text = misc.valid() ? read_small(misc.ref(), "/proc/misc") : Result<std::string>(std::string());
    const auto minor = text.ok() ? misc_minor(text.value(), "userfaultfd") : std::nullopt;
    if (minor) {
      nodes.push_back({"", "userfaultfd", kMiscMajor, *minor});
    }
  }
  return nodes;
}

/// Raising a hard limit needs CAP_SYS_RESOURCE (and stays below fs.nr_open); whether we may is found out by doing it to
/// the hard limit alone, and taking it back.
Status check_limit(int resource, const char* name, std::uint64_t wanted) {
  struct rlimit now {};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &now) != 0 || wanted <= now.rlim_max) {
    return {};
  }
  const struct rlimit raised = {now.rlim_cur, wanted};
  if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &raised) != 0) {
    return Error::host(errno, std::string("Failed to set limit for resource: ") + name,
                       "The jailer's own hard limit is " + std::to_string(now.rlim_max) + " and cannot be raised");
  }
  (void)::setrlimit(static_cast<__rlimit_resource_t>(resource), &now);
  return {};
}

/// Walks what exists of the jail, changing nothing.
Status survey_tree(const JailPlan& plan, HostView& host) {
  const Trust trust{plan.uid};
  auto name_folder = WISP_TRY(open_folder(host.base, host.program.name, Trust{}));
  if (!name_folder) {
    return {};
  }
  auto id_folder = WISP_TRY(open_folder(*name_folder, plan.id, trust));
  if (!id_folder) {
    return {};
  }
  const auto root = WISP_TRY(open_folder(*id_folder, "root", trust));
  return root ? check_jail_root(*root, plan, host) : Status();
}

Status check_interpreter(const JailPlan& plan, const HostView& host) {
  if (!host.program.interpreter) {
    return {};
  }
  const std::string inside = host.program.name + "/" + plan.id + "/root" + *host.program.interpreter;
  if (open_beneath(host.base.fd.ref(), inside.c_str(), O_PATH).valid()) {
    return {};
  }
  return Error(ErrorCode::InvalidArgument, "Failed to exec into " + host.program.path +
                                               ": it is dynamically linked, and the jail has no " +
                                               *host.program.interpreter + ". Give --exec-file a static program");
}

}  // namespace

std::optional<unsigned> misc_minor(const std::string& proc_misc, const std::string& name) {
  for (std::size_t begin = 0; begin < proc_misc.size();) {
    const std::size_t end = std::min(proc_misc.find('\n', begin), proc_misc.size());
    const std::string line = proc_misc.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t digits = line.find_first_not_of(' ');
    const std::size_t blank = line.find(' ', digits == std::string::npos ? 0 : digits);
    const std::size_t word = blank == std::string::npos ? blank : line.find_first_not_of(' ', blank);
    if (word == std::string::npos || line.substr(word) != name) {
      continue;
    }
    unsigned minor = 0;
    for (const char digit : line.substr(digits, blank - digits)) {
      if (digit < '0' || digit > '9' || minor > 1'000'000) {
        return std::nullopt;
      }
      minor = minor * 10 + static_cast<unsigned>(digit - '0');
    }
    return minor;
  }
  return std::nullopt;
}

Result<HostView> survey_host(const JailPlan& plan) {
  HostView host;
  host.is_root = ::geteuid() == 0;
  if (!host.is_root && plan.dry_run == DryRun::No) {
    return Error(ErrorCode::InvalidArgument,
                 "wisp-jailer must be started by root: it makes namespaces, device nodes and "
                 "changes its user. Start it with sudo, or look at its plan with --dry-run");
  }
  host.program = WISP_TRY(open_program(plan.exec_file));
  host.base = WISP_TRY(open_base(plan.chroot_base));
  host.jail_path = host.base.path + "/" + host.program.name + "/" + plan.id + "/root";
  if (plan.netns) {
    host.netns = WISP_TRY(open_netns(*plan.netns));
  }
  host.devices = choose_devices(plan.devices);
  (void)WISP_TRY(check_limit(RLIMIT_NOFILE, "no-file", plan.limits.max_open_files));
  if (plan.limits.max_file_bytes) {
    (void)WISP_TRY(check_limit(RLIMIT_FSIZE, "fsize", *plan.limits.max_file_bytes));
  }
  host.cgroups = WISP_TRY(survey_cgroups(plan, host.program.name));
  (void)WISP_TRY(survey_tree(plan, host));
  (void)WISP_TRY(check_interpreter(plan, host));
  host.own_mounts = Fd(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  host.null_device = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (plan.daemonize == Daemonize::Yes && !host.null_device.valid()) {
    return Error::host(errno, "Failed to daemonize: /dev/null cannot be opened");
  }
  return host;
}

}  // namespace wisp
