#include "vmm/machine/snapshot.h"

#include "snapshot/image/memory_file.h"

namespace wisp {

namespace section {
std::string transport(std::size_t index) {
  return "transport/" + std::to_string(index);
}
std::string device(std::size_t index) {
  return "device/" + std::to_string(index);
}
std::string vcpu(std::size_t index) {
  return "vcpu/" + std::to_string(index);
}
}  // namespace section

Result<std::span<const std::byte>> required_section(const StateFile& state, std::string_view name) {
  const auto bytes = state.section(name);
  if (!bytes) {
    return Error(ErrorCode::Corrupt, "the snapshot has no section '" + std::string(name) + "'");
  }
  return *bytes;
}

void save_layout(const GuestMemory& memory, StateWriter& out) {
  out.u8(static_cast<std::uint8_t>(memory.region_count()));
  for (std::size_t index = 0; index < memory.region_count(); ++index) {
    const GuestRange range = memory.region_range(index);
    const bool hotplug = memory.region_kind(index) == RegionKind::Hotplug;
    out.u64(range.start.value());
    out.u64(range.size_bytes);
    out.u64(hotplug ? memory.hotplug()->block_size_bytes : 0);
  }
}

Status check_saved_layout(StateReader& in, std::span<const RegionPlan> expected) {
  const std::uint8_t count = in.u8();
  (void)WISP_TRY(in.check(count == expected.size(), "another number of memory regions than the configuration makes"));
  for (const RegionPlan& plan : expected) {
    const std::uint64_t start = in.u64();
    const std::uint64_t size_bytes = in.u64();
    const std::uint64_t block_size_bytes = in.u64();
    (void)WISP_TRY(in.check(start == plan.range.start.value() && size_bytes == plan.range.size_bytes &&
                                block_size_bytes == plan.block_size_bytes,
                            "another memory layout than the configuration makes"));
  }
  return in.finish();
}

}  // namespace wisp
