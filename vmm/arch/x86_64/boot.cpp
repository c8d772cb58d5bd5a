#include "vmm/arch/x86_64/boot.h"

#include <vector>

#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/initrd.h"
#include "vmm/arch/x86_64/linux64.h"
#include "vmm/arch/x86_64/page_tables.h"
#include "vmm/arch/x86_64/pvh.h"
#include "vmm/arch/x86_64/registers.h"

namespace wisp::arch {
namespace {

Status write_protocol_structures(const GuestMemory& memory, const LoadedKernel& kernel, const BootFacts& facts) {
  (void)WISP_TRY(write_descriptor_tables(memory, kernel.protocol));
  if (kernel.protocol == BootProtocol::Pvh) {
    return write_pvh_start_info(memory, facts);
  }
  (void)WISP_TRY(write_page_tables(memory));
  return write_zero_page(memory, kernel, facts);
}

Status write_tables_of(const GuestMemory& memory, const BootInputs& inputs) {
  std::vector<MmioSlot> slots;
  for (const BootDevice& device : inputs.devices) {
    slots.push_back(device.slot);
  }
  return write_firmware_tables(memory, {inputs.vcpu_count, slots});
}

}  // namespace

Result<CommandLine> complete_command_line(const BootInputs& inputs) {
  CommandLine line = WISP_TRY(CommandLine::create(inputs.boot_args));
  (void)WISP_TRY(line.append("pci=off"));
  for (const BootDevice& device : inputs.devices) {
    if (device.root) {
      (void)WISP_TRY(line.append(root_argument(*device.root)));
    }
    (void)WISP_TRY(line.append(mmio_device_argument(device.slot)));
  }
  return line;
}

Result<BootState> prepare_boot(const GuestMemory& memory, const BootInputs& inputs) {
  // What costs nothing to find out comes first.
  const CommandLine line = WISP_TRY(complete_command_line(inputs));
  const LoadedKernel kernel = WISP_TRY(load_kernel(inputs.kernel, memory));
  BootFacts facts{.command_line_size_bytes = line.text().size(), .initrd = {}};
  if (inputs.initrd) {
    facts.initrd = WISP_TRY(load_initrd(*inputs.initrd, memory, kernel.end));
  }
  (void)WISP_TRY(line.write(memory));
  (void)WISP_TRY(write_tables_of(memory, inputs));
  (void)WISP_TRY(write_protocol_structures(memory, kernel, facts));
  return BootState{kernel.protocol, kernel.entry, line.text()};
}

}  // namespace wisp::arch
