// Finds and checks the ACPI tables as a kernel without a command line would: RSDP by scan, then XSDT, MADT, FADT, DSDT.
#pragma once

#include "runtime/guest.h"

enum { MAX_APIC_IDS = 32 };

struct acpi_summary {
  unsigned processor_count;  // enabled local APICs in the MADT
  uint8_t apic_ids[MAX_APIC_IDS];
  unsigned virtio_device_count;  // LNRO0005 in the DSDT
};

// Fails the guest with a text when a table is missing or its checksum is wrong.
struct acpi_summary read_acpi(void);
