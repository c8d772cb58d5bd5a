// Hot-pluggable memory as the operator asks for it, and its present state: plain data.
#pragma once

#include <cstdint>

namespace wisp {

struct MemoryHotplugConfig {
  std::uint32_t total_size_mib = 0;
  std::uint32_t block_size_mib = 2;   ///< unit of plugging
  std::uint32_t slot_size_mib = 128;  ///< unit of KVM memory slots
};

struct MemoryHotplugStatus {
  MemoryHotplugConfig config;
  std::uint64_t plugged_size_mib = 0;
  std::uint64_t requested_size_mib = 0;
};

}  // namespace wisp
