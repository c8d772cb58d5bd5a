// What a configuration of hot-pluggable memory must satisfy; asked when it is put, before there is a machine.
#pragma once

#include "vmm/base/result.h"
#include "vmm/config/memory_hotplug.h"

namespace wisp {

inline constexpr std::uint32_t kMinBlockSizeMib = 2;
inline constexpr std::uint32_t kMinSlotSizeMib = 128;

Status check_memory_hotplug(const MemoryHotplugConfig& config);

}  // namespace wisp
