#include "vmm/base/unix_address.h"

#include <sys/socket.h>

#include <algorithm>

namespace wisp {

Result<sockaddr_un> unix_address(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return Error(ErrorCode::InvalidArgument, "the path is empty or holds a NUL byte");
  }
  if (path.size() > kMaxUnixPathBytes) {
    return Error(ErrorCode::InvalidArgument,
                 "the path has " + std::to_string(path.size()) + " bytes, a socket's path has at most " +
                     std::to_string(kMaxUnixPathBytes) + ". Use a shorter or a relative path");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path, address.sun_path);
  return address;
}

}  // namespace wisp
