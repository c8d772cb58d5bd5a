#include "vmm/machine/snapshot.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "snapshot/image/memory_file.h"
#include "vmm/arch/x86_64/layout.h"

namespace wisp {

namespace section {
std::string transport(std::size_t index) {
  return "transport/" + std::to_string(index);
}
std::string device(std::size_t index) {
  return "device/" + std::to_string(index);
}
std::string shadow_stack(std::size_t index) {
  return "ssp/" + std::to_string(index);
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

Result<PairId> random_pair_id() {
  PairId id{};
  // Up to 256 bytes come whole (getrandom(2)).
  if (::getrandom(&id, sizeof(id), 0) != static_cast<ssize_t>(sizeof(id))) {
    return Error::host(errno, "cannot get random bytes for the snapshot");
  }
  return id;
}

Status check_pair(const StateFile& state, const GuestMemory& memory) {
  const auto wanted = state.section(section::kPair);
  if (!wanted) {
    return {};
  }
  const auto found = memory.read<PairId>(arch::kPairId.start);
  if (!found || !std::ranges::equal(std::as_bytes(std::span(&*found, 1)), *wanted)) {
    return Error(ErrorCode::Corrupt,
                 "The memory does not belong to the state file '" + state.name() +
                     "': they are of two snapshots. Name the two files of one snapshot. If a crash came in the middle "
                     "of writing them, the other memory file is beside, under a name that begins with .wisp-");
  }
  return {};
}

}  // namespace wisp
