// The address of a Unix socket in the file system.
#pragma once

#include <sys/un.h>

#include <string>

#include "vmm/base/result.h"

namespace wisp {

/// The longest path of a socket, without the NUL that ends it (unix(7)).
inline constexpr std::size_t kMaxUnixPathBytes = sizeof(sockaddr_un::sun_path) - 1;

/// Fails, with the cause and the remedy but without the object's name, when the path is empty, holds a NUL byte or is
/// too long for a socket.
Result<sockaddr_un> unix_address(const std::string& path);

}  // namespace wisp
