#include "jailer/jail/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "vmm/base/uninterrupted.h"

namespace wisp {

Fd open_beneath(FdRef folder, const char* name, int flags, mode_t mode) {
  struct open_how how {};
  const int never_wait = (flags & O_PATH) != 0 ? 0 : O_NONBLOCK | O_NOCTTY;
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC | O_NOFOLLOW | never_wait);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long raw = -1;
  do {  // EAGAIN: a rename elsewhere disturbed the walk, openat2(2) says to try again
    raw = ::syscall(SYS_openat2, folder.raw(), name, &how, sizeof(how));
  } while (raw < 0 && (errno == EINTR || (errno == EAGAIN && (flags & O_CREAT) == 0)));
  return Fd(static_cast<int>(raw));
}

Status check_folder(const struct stat& status, const std::string& path, Trust trust) {
  if (status.st_uid != 0 && status.st_uid != trust.also) {
    return Error(ErrorCode::InvalidArgument, "Failed to use the folder " + path + ": it belongs to user " +
                                                 std::to_string(status.st_uid) +
                                                 ". Let root own it, or remove it and let wisp-jailer make it");
  }
  const bool others_may_write = (status.st_mode & S_IWOTH) != 0;
  const bool group_may_write = (status.st_mode & S_IWGRP) != 0 && status.st_gid != 0;
  if ((others_may_write || group_may_write) && (status.st_mode & S_ISVTX) == 0) {
    return Error(ErrorCode::InvalidArgument, "Failed to use the folder " + path +
                                                 ": other users may exchange what is in it. Take away their write "
                                                 "permission (chmod go-w)");
  }
  return {};
}

Result<std::optional<Folder>> open_folder(const Folder& parent, const std::string& name, Trust trust) {
  const std::string path = parent.path + "/" + name;
  Fd fd = open_beneath(parent.fd.ref(), name.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd.valid()) {
    if (errno == ENOENT) {
      return std::optional<Folder>();
    }
    return Error::host(errno, "Failed to open the folder " + path,
                       "A jail's folders are real folders; symlinks and other files are refused");
  }
  struct stat status {};
  if (::fstat(fd.raw(), &status) != 0) {
    return Error::host(errno, "Failed to inspect the folder " + path);
  }
  (void)WISP_TRY(check_folder(status, path, trust));
  return std::optional<Folder>(Folder{std::move(fd), path});
}

Result<Folder> ensure_folder(const Folder& parent, const std::string& name, Trust trust, UndoLog& undo) {
  auto found = WISP_TRY(open_folder(parent, name, trust));
  if (found) {
    return std::move(*found);
  }
  const std::string path = parent.path + "/" + name;
  const bool made = ::mkdirat(parent.fd.raw(), name.c_str(), 0700) == 0;
  if (made) {
    undo.add([parent_raw = parent.fd.raw(), name] { ::unlinkat(parent_raw, name.c_str(), AT_REMOVEDIR); });
  } else if (errno != EEXIST) {  // EEXIST: another start made it meanwhile, and the checks below are for it
    return Error::host(errno, "Failed to create directory " + path);
  }
  found = WISP_TRY(open_folder(parent, name, trust));
  if (!found) {
    return Error::host(ENOENT, "Failed to create directory " + path, "Something removed it meanwhile; try again");
  }
  if (made && ::fchmod(found->fd.raw(), 0755) != 0) {
    return Error::host(errno, "Failed to change permissions on " + path);
  }
  return std::move(*found);
}

Status own_folder(const Folder& folder, uid_t uid, gid_t gid, mode_t mode, UndoLog& undo) {
  struct stat before {};
  if (::fstat(folder.fd.raw(), &before) != 0) {
    return Error::host(errno, "Failed to inspect the folder " + folder.path);
  }
  undo.add([raw = folder.fd.raw(), before] {
    (void)!::fchown(raw, before.st_uid, before.st_gid);
    (void)::fchmod(raw, before.st_mode & 07777);
  });
  if (::fchown(folder.fd.raw(), uid, gid) != 0) {
    return Error::host(errno, "Failed to change owner for " + folder.path);
  }
  if (::fchmod(folder.fd.raw(), mode) != 0) {
    return Error::host(errno, "Failed to change permissions on " + folder.path);
  }
  return {};
}

Result<std::optional<struct stat>> look_at(const Folder& folder, const std::string& name) {
  struct stat status {};
  if (::fstatat(folder.fd.raw(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return std::optional(status);
  }
  if (errno == ENOENT) {
    return std::optional<struct stat>();
  }
  return Error::host(errno, "Failed to inspect " + folder.path + "/" + name);
}

Result<std::string> read_small(FdRef fd, const std::string& path) {
  std::string text;
  std::array<char, 4096> block;
  while (true) {
    const ssize_t count = uninterrupted([&] { return ::read(fd.raw(), block.data(), block.size()); });
    if (count < 0) {
      return Error::host(errno, "Failed to read " + path);
    }
    if (count == 0 || text.size() > kMaxSmallFileBytes) {
      return text;
    }
    text.append(block.data(), static_cast<std::size_t>(count));
  }
}

Status write_once(FdRef fd, const std::string& text, const std::string& path) {
  const ssize_t count = ::write(fd.raw(), text.data(), text.size());
  if (count < 0) {
    return Error::host(errno, "Failed to write '" + text + "' to " + path);
  }
  if (static_cast<std::size_t>(count) != text.size()) {
    return Error(ErrorCode::HostFault, "Failed to write '" + text + "' to " + path + ": only a part was taken");
  }
  return {};
}

Result<std::string> path_of(FdRef fd, const std::string& fallback) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd.raw());
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  if (length <= 0) {
    return Error::host(errno, "Failed to canonicalize path " + fallback, "Mount /proc");
  }
  target.resize(static_cast<std::size_t>(length));
  return target;
}

}  // namespace wisp
