#include "jailer/jail/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace wisp {
namespace {

constexpr mode_t kRootMode = 01770;
constexpr mode_t kDevMode = 0710;
constexpr mode_t kRunMode = 0700;
constexpr mode_t kNodeMode = 0600;
constexpr mode_t kPidFileMode = 0644;
/// How deep, and at how many names, device nodes of the orchestrator are looked for.
constexpr int kMaxSearchDepth = 3;
constexpr int kMaxSearchedNames = 4096;

Error refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

Status check_pid_file(const Folder& root, const std::string& file) {
  if (WISP_TRY(look_at(root, file))) {
    return refuse("Failed to open file " + root.path + "/" + file +
                  ": it exists, so a monitor may be running in this jail. When none is, remove the file and try again");
  }
  return {};
}

/// A node of an earlier start is replaced; anything else that stands there is somebody's, and refused.
Status check_node_place(const Folder& folder, const DeviceNode& node) {
  const auto there = WISP_TRY(look_at(folder, node.name));
  if (there && (!S_ISCHR(there->st_mode) || there->st_rdev != makedev(node.major, node.minor))) {
    return refuse("Failed to create " + node.path() + " via mknod inside the jail: something else stands at " +
                  folder.path + "/" + node.name + ". Remove it");
  }
  return {};
}

Status make_node(const Folder& folder, const DeviceNode& node, const JailPlan& plan, UndoLog& undo) {
  (void)WISP_TRY(check_node_place(folder, node));
  const std::string failure = "Failed to create " + node.path() + " via mknod inside the jail";
  const int raw = folder.fd.raw();
  if (::unlinkat(raw, node.name.c_str(), 0) != 0 && errno != ENOENT) {
    return Error::host(errno, failure);
  }
  if (::mknodat(raw, node.name.c_str(), S_IFCHR | kNodeMode, makedev(node.major, node.minor)) != 0) {
    return Error::host(errno, failure, "Making device nodes needs root with CAP_MKNOD");
  }
  undo.add([raw, name = node.name] { ::unlinkat(raw, name.c_str(), 0); });
  // The folder is root's by now, so the name still is the node made above.
  if (::fchownat(raw, node.name.c_str(), plan.uid, plan.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::host(errno, "Failed to change owner for " + folder.path + "/" + node.name);
  }
  return {};
}

/// Is there a device node below `folder`, outside the jail's own /dev?
bool holds_device_nodes(const Folder& folder, int depth, int& names_left) {
  Fd copy = open_beneath(folder.fd.ref(), ".", O_RDONLY | O_DIRECTORY);
  DIR* listing = copy.valid() ? ::fdopendir(copy.raw()) : nullptr;
  if (listing == nullptr) {
    return false;
  }
  (void)copy.release();
  bool found = false;
  while (const dirent* entry = found ? nullptr : ::readdir(listing)) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || (depth == 0 && name == "dev") || --names_left < 0) {
      continue;
    }
    found = entry->d_type == DT_BLK || entry->d_type == DT_CHR;
    if (entry->d_type == DT_DIR && depth < kMaxSearchDepth) {
      Folder below{open_beneath(folder.fd.ref(), name.c_str(), O_RDONLY | O_DIRECTORY), ""};
      found = below.fd.valid() && holds_device_nodes(below, depth + 1, names_left);
    }
  }
  ::closedir(listing);
  return found;
}

Status lock(const Folder& root) {
  if (::flock(root.fd.raw(), LOCK_EX | LOCK_NB) != 0) {
    return Error::host(errno, "Failed to lock the jail " + root.path, "Another start with the same id is under way");
  }
  return {};
}

Status make_dev(const JailPlan& plan, const HostView& host, JailTree& tree, UndoLog& undo) {
  const Trust trust{plan.uid};
  tree.dev = WISP_TRY(ensure_folder(tree.root, "dev", trust, undo));
  (void)WISP_TRY(own_folder(tree.dev, 0, plan.gid, kDevMode, undo));
  for (const DeviceNode& node : host.devices) {
    if (!node.folder.empty() && !tree.net.fd.valid()) {
      tree.net = WISP_TRY(ensure_folder(tree.dev, node.folder, trust, undo));
      (void)WISP_TRY(own_folder(tree.net, 0, plan.gid, kDevMode, undo));
    }
    (void)WISP_TRY(make_node(node.folder.empty() ? tree.dev : tree.net, node, plan, undo));
  }
  return {};
}

Status open_tree_folders(const JailPlan& plan, const HostView& host, JailTree& tree, UndoLog& undo) {
  const Trust trust{plan.uid};
  tree.name = WISP_TRY(ensure_folder(host.base, host.program.name, Trust{}, undo));
  tree.id = WISP_TRY(ensure_folder(tree.name, plan.id, trust, undo));
  tree.root = WISP_TRY(ensure_folder(tree.id, "root", trust, undo));
  const Status locked = lock(tree.root);
  if (!locked.ok()) {
    undo.forget();  // the other start works in these folders; one that is empty yet must not be removed under it
  }
  return locked;
}

}  // namespace

Status check_jail_root(const Folder& root, const JailPlan& plan, const HostView& host) {
  const Trust trust{plan.uid};
  (void)WISP_TRY(check_pid_file(root, pid_file_of(host.program.name)));
  (void)WISP_TRY(check_program_place(root, host.program.name));
  (void)WISP_TRY(open_folder(root, "run", trust));
  const auto dev = WISP_TRY(open_folder(root, "dev", trust));
  for (const DeviceNode& node : host.devices) {
    if (dev && node.folder.empty()) {
      (void)WISP_TRY(check_node_place(*dev, node));
    } else if (dev) {
      const auto folder = WISP_TRY(open_folder(*dev, node.folder, trust));
      (void)WISP_TRY(folder ? check_node_place(*folder, node) : Status());
    }
  }
  return {};
}

Status make_tree(const JailPlan& plan, const HostView& host, JailTree& tree, UndoLog& undo) {
  (void)WISP_TRY(open_tree_folders(plan, host, tree, undo));
  (void)WISP_TRY(check_pid_file(tree.root, pid_file_of(host.program.name)));
  // From here on nobody but root can exchange what root makes in it.
  (void)WISP_TRY(own_folder(tree.root, 0, plan.gid, kRootMode, undo));
  int names_left = kMaxSearchedNames;
  tree.disk_nodes = plan.devices.disk_nodes == DiskNodes::Allowed || holds_device_nodes(tree.root, 0, names_left)
                        ? DiskNodes::Allowed
                        : DiskNodes::WhenFound;
  (void)WISP_TRY(copy_program(host.program, tree.root, undo));
  (void)WISP_TRY(make_dev(plan, host, tree, undo));
  tree.run = WISP_TRY(ensure_folder(tree.root, "run", Trust{plan.uid}, undo));
  (void)WISP_TRY(own_folder(tree.run, plan.uid, plan.gid, kRunMode, undo));
  // Of a record that a failed start got to write; a successful start has no undoing.
  undo.add([raw = tree.root.fd.raw(), file = pid_file_of(host.program.name)] { ::unlinkat(raw, file.c_str(), 0); });
  return {};
}

Status record_pid(const JailTree& tree, const std::string& program_name, pid_t pid) {
  const std::string file = pid_file_of(program_name);
  const std::string draft = file + ".new";
  const std::string path = tree.root.path + "/" + file;
  const int root = tree.root.fd.raw();
  (void)::unlinkat(root, draft.c_str(), 0);  // of a jailer that was killed
  Fd fd = open_beneath(tree.root.fd.ref(), draft.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!fd.valid()) {
    return Error::host(errno, "Failed to open file " + path);
  }
  Status written = write_once(fd.ref(), std::to_string(pid), path);
  if (written.ok() && ::fchmod(fd.raw(), kPidFileMode) != 0) {
    written = Error::host(errno, "Failed to change permissions on " + path);
  }
  if (written.ok() && ::renameat2(root, draft.c_str(), root, file.c_str(), RENAME_NOREPLACE) != 0) {
    written = Error::host(errno, "Failed to open file " + path);
  }
  if (!written.ok()) {
    (void)::unlinkat(root, draft.c_str(), 0);
  }
  return written;
}

}  // namespace wisp
