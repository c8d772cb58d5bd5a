// The ACPI tables: how a kernel finds processors, interrupt controllers and devices (ACPI 6.5 chapter 5).
//
//   RSDP at 0xe0000 -> XSDT -> FADT -> DSDT    devices: virtio slots, COM1, keyboard controller, VMGenID, VMClock and
//                                              the event device that notifies these two
//                           -> MADT            IOAPIC, one local APIC per vCPU
//
// The machine is "hardware-reduced": no power management timer, no legacy interrupt controller, no fixed events. The
// reset register is the keyboard controller's reset command, so that a guest can reboot without knowing about it; the
// sleep control register switches the machine off.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/result.h"

namespace wisp::arch {

struct AcpiConfig {
  std::uint8_t vcpu_count = 1;
  std::span<const MmioSlot> virtio_devices;
};

struct AcpiTables {
  std::vector<std::byte> body;  ///< DSDT, FADT, MADT, XSDT, to be placed at the address that they were made for
  std::vector<std::byte> rsdp;  ///< to be placed at kRsdp
};

/// Builds all tables for a body at `address`.
AcpiTables acpi_tables(const AcpiConfig& config, GuestAddress address);

/// Writes the MP table and the ACPI tables to the system area and the RSDP to its place.
Status write_firmware_tables(const GuestMemory& memory, const AcpiConfig& config);

}  // namespace wisp::arch
