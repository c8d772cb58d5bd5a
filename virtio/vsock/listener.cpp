#include "virtio/vsock/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "vmm/base/unix_address.h"

namespace wisp {
namespace {

/// Clients that may wait while the guest boots; the kernel cuts it to net.core.somaxconn.
constexpr int kBacklogCount = 1024;
constexpr const char* kBindFailed = "Error binding to the host-side Unix socket";

}  // namespace

Result<VsockListener> VsockListener::bind(const std::string& uds_path) {
  Result<sockaddr_un> address = unix_address(uds_path);
  if (!address.ok()) {
    return std::move(address).error().with_prefix(std::string(kBindFailed) + ": ");
  }
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return Error::host(errno, kBindFailed);
  }
  if (::bind(socket.raw(), reinterpret_cast<const sockaddr*>(&address.value()), sizeof(sockaddr_un)) != 0) {
    return Error::host(errno, kBindFailed);
  }
  VsockListener listener(std::move(socket), uds_path);
  listener.remember_file();
  if (::listen(listener.socket_.raw(), kBacklogCount) != 0) {
    const int sys_errno = errno;
    listener.unlink_socket();
    return Error::host(sys_errno, kBindFailed);
  }
  return listener;
}

Result<VsockListener> VsockListener::duplicate() const {
  VsockListener copy(WISP_TRY(wisp::duplicate(socket_.ref(), "the vsock device's socket")), path_);
  copy.device_ = device_;
  copy.inode_ = inode_;
  return copy;
}

Result<VsockListener> VsockListener::adopt(Fd socket) {
  sockaddr_un address{};
  socklen_t length = sizeof(address);
  const auto is_set = [&](int option, int wanted) {
    int value = 0;
    socklen_t value_bytes = sizeof(value);
    return ::getsockopt(socket.raw(), SOL_SOCKET, option, &value, &value_bytes) == 0 && value == wanted;
  };
  if (::getsockname(socket.raw(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      address.sun_family != AF_UNIX || !is_set(SO_ACCEPTCONN, 1) || !is_set(SO_TYPE, SOCK_STREAM)) {
    return Error(ErrorCode::InvalidArgument,
                 "the descriptor given for the vsock device is not a listening Unix stream socket");
  }
  // accept() must not wait: the next client may be gone again before the loop gets to it.
  if (::fcntl(socket.raw(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    return Error::host(errno, "cannot take over the vsock device's socket");
  }
  length = std::min<socklen_t>(length, sizeof(address));
  const std::size_t path_bytes = length - offsetof(sockaddr_un, sun_path);
  const std::string path(address.sun_path, std::find(address.sun_path, address.sun_path + path_bytes, '\0'));
  return VsockListener(std::move(socket), path);
}

void VsockListener::remember_file() {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
}

void VsockListener::unlink_socket() const {
  struct stat status {};
  const bool ours = inode_ != 0 && ::lstat(path_.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) &&
                    status.st_dev == device_ && status.st_ino == inode_;
  if (ours) {
    (void)::unlink(path_.c_str());
  }
}

Fd VsockListener::accept() const {
  return Fd(::accept4(socket_.raw(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

}  // namespace wisp
