// A network interface as the operator asks for it: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmm/base/mac_address.h"
#include "vmm/config/limiter.h"

namespace wisp {

/// Section 5.1.4.1: the smallest and largest MTU that a device may state.
inline constexpr std::uint16_t kMinMtuBytes = 68;

struct NetConfig {
  std::string iface_id;
  std::string host_dev_name;            ///< the TAP interface
  std::optional<MacAddress> guest_mac;  ///< absent: the driver chooses
  std::optional<std::uint16_t> mtu;
  RateLimiterConfig rx_limits = {};
  RateLimiterConfig tx_limits = {};
};

/// PATCH: what is absent stays.
struct NetPatch {
  std::string iface_id;
  RateLimiterPatch rx_limits;
  RateLimiterPatch tx_limits;
};

}  // namespace wisp
