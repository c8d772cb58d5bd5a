// The one entry point of this folder: makes a memory bootable.
//
//   const BootInputs inputs{.kernel = fd, .initrd = {}, .boot_args = "quiet", .vcpu_count = 2, .devices = {...}};
//   const BootState boot = WISP_TRY(prepare_boot(memory, inputs));
//   vcpu.set(boot_registers(boot.protocol, boot.entry)); ...
//
// Loads kernel and initrd, completes the command line, and writes the firmware tables and what the kernel's boot
// protocol asks for. `memory` must be fresh: zeros are not written where zeros already are. After an error it must be
// thrown away.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "vmm/arch/x86_64/command_line.h"
#include "vmm/arch/x86_64/kernel_image.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/fd.h"

namespace wisp::arch {

/// One virtio device, in the order of attachment.
struct BootDevice {
  MmioSlot slot;
  std::optional<RootDisk> root;  ///< present for the disk that holds the root file system
};

struct BootInputs {
  FdRef kernel;
  std::optional<FdRef> initrd;
  std::string boot_args;
  std::uint8_t vcpu_count = 1;
  std::span<const BootDevice> devices;
};

struct BootState {
  BootProtocol protocol = BootProtocol::Linux64;
  GuestAddress entry;
  std::string command_line;  ///< as the guest gets it
};

/// The operator's words and our additions: "pci=off", then for each device its root argument and its address.
Result<CommandLine> complete_command_line(const BootInputs& inputs);

Result<BootState> prepare_boot(const GuestMemory& memory, const BootInputs& inputs);

}  // namespace wisp::arch
