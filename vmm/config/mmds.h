// The metadata service as the operator asks for it: plain data.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wisp {

using Ipv4Address = std::array<std::uint8_t, 4>;

enum class MmdsVersion { V1, V2 };

inline constexpr Ipv4Address kDefaultMmdsAddress = {169, 254, 169, 254};

struct MmdsConfig {
  MmdsVersion version = MmdsVersion::V1;
  std::vector<std::string> network_interfaces;  ///< not empty
  std::optional<Ipv4Address> ipv4_address;      ///< absent: kDefaultMmdsAddress
  bool imds_compat = false;                     ///< plain text whatever the guest accepts
};

}  // namespace wisp
