// The vsock device as the operator asks for it: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace wisp {

/// 0 and 1 are reserved, 2 is the host (virtio 1.2 section 5.10.4).
inline constexpr std::uint32_t kMinGuestCid = 3;

struct VsockConfig {
  std::uint32_t guest_cid = kMinGuestCid;
  std::string uds_path;                 ///< the socket on which host programs say CONNECT
  std::optional<std::string> vsock_id;  ///< deprecated; echoed
};

}  // namespace wisp
