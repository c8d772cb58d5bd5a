#include "virtio/mem/config_check.h"

#include <bit>
#include <string>

namespace wisp {
namespace {

Status refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

std::string in_mib(std::uint32_t size_mib) {
  return " (" + std::to_string(size_mib) + " MiB)";
}

}  // namespace

Status check_memory_hotplug(const MemoryHotplugConfig& config) {
  if (config.block_size_mib < kMinBlockSizeMib) {
    return refuse("Block size must not be lower than " + std::to_string(kMinBlockSizeMib) + " MiB");
  }
  if (!std::has_single_bit(config.block_size_mib)) {
    return refuse("Block size must be a power of 2");
  }
  if (config.slot_size_mib < kMinSlotSizeMib) {
    return refuse("Slot size must not be lower than " + std::to_string(kMinSlotSizeMib) + " MiB");
  }
  if (config.slot_size_mib % config.block_size_mib != 0) {
    return refuse("Slot size must be a multiple of block size" + in_mib(config.block_size_mib));
  }
  if (config.total_size_mib < config.slot_size_mib) {
    return refuse("Total size must not be lower than slot size" + in_mib(config.slot_size_mib));
  }
  if (config.total_size_mib % config.slot_size_mib != 0) {
    return refuse("Total size must be a multiple of slot size" + in_mib(config.slot_size_mib));
  }
  return {};
}

}  // namespace wisp
