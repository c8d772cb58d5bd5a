// What a machine puts into a snapshot, and what it is made of again.
//
// Sections of the state file, in the order in which they are captured, each with its reason:
//   transport/N, device/N    first: draining a device may have raised interrupts, which the irqchip then holds
//   serial, keyboard
//   vm                       irqchip, PIT, clock
//   vcpu/N                   last: nothing changes a parked vCPU any more
//   ssp/N                    of vCPUs that have shadow stacks: the pointer
//   memory                   the layout of the memory file
//   pair                     16 bytes that are also in the memory file, in a page that no guest is told of: both files
//                            are of one snapshot. Between the two renames that publish them a crash can leave a pair
//                            that is not, and people mix files up, too. The memory file stays raw.
// The configuration's section is the controller's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/image/state_file.h"
#include "snapshot/image/userfault.h"
#include "vmm/base/endian.h"
#include "vmm/config/snapshot.h"
#include "vmm/kvm/vm_state.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

namespace section {
inline constexpr std::string_view kSerial = "serial";
inline constexpr std::string_view kKeyboard = "keyboard";
inline constexpr std::string_view kVm = "vm";
inline constexpr std::string_view kMemory = "memory";
inline constexpr std::string_view kPair = "pair";
std::string transport(std::size_t index);
std::string device(std::size_t index);
std::string vcpu(std::size_t index);
std::string shadow_stack(std::size_t index);
}  // namespace section

/// Where a restored machine comes from.
struct RestoreInput {
  const StateFile& state;
  MemoryBackend backend = MemoryBackend::File;
  std::string memory_path;  ///< for texts only when there is a descriptor
  /// The memory file or the handler's socket, opened by a stranger; not valid: memory_path is opened.
  Fd memory_descriptor = {};
  ClockOnRestore clock = ClockOnRestore::Continue;
};

struct PairId {
  Le64 low;
  Le64 high;
};
template <>
inline constexpr bool kIsGuestPod<PairId> = true;

Result<PairId> random_pair_id();
/// A state file of format 1.0 has no such section and fits every memory.
Status check_pair(const StateFile& state, const GuestMemory& memory);

/// The section `name`, or an error that names it.
Result<std::span<const std::byte>> required_section(const StateFile& state, std::string_view name);

void save_layout(const GuestMemory& memory, StateWriter& out);
/// The layout of the memory file must be that of the machine which the configuration describes.
Status check_saved_layout(StateReader& in, std::span<const RegionPlan> expected);

}  // namespace wisp
