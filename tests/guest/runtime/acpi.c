#include "runtime/acpi.h"

enum { RSDP_SIZE = 36, RSDP_V1_SIZE = 20, HEADER_SIZE = 36, MAX_TABLE_SIZE = 65536 };

static int sum_is_zero(uint64_t address, uint32_t size) {
  uint8_t sum = 0;
  for (uint32_t i = 0; i < size; ++i) {
    sum = (uint8_t)(sum + *(const uint8_t*)(address + i));
  }
  return sum == 0;
}

static uint32_t checked_table(uint64_t address, const char* name) {
  const uint32_t size = load32(address + 4);
  if (memcmp((const void*)address, name, 4) != 0) {
    fail("acpi: no %s at 0x%x", name, address);
  }
  if (size < HEADER_SIZE || size > MAX_TABLE_SIZE || !sum_is_zero(address, size)) {
    fail("acpi: %s of %u bytes has a bad size or checksum", name, size);
  }
  return size;
}

static uint64_t find_rsdp(void) {
  for (uint64_t at = 0xe0000; at < 0x100000; at += 16) {
    if (memcmp((const void*)at, "RSD PTR ", 8) == 0) {
      if (!sum_is_zero(at, RSDP_V1_SIZE) || !sum_is_zero(at, RSDP_SIZE)) {
        fail("acpi: RSDP at 0x%x has a bad checksum", at);
      }
      return at;
    }
  }
  fail("acpi: no RSDP between 0xe0000 and 0xfffff");
}

static uint64_t find_table(uint64_t xsdt, const char* name) {
  const uint32_t size = checked_table(xsdt, "XSDT");
  for (uint32_t at = HEADER_SIZE; at + 8 <= size; at += 8) {
    const uint64_t table = load64(xsdt + at);
    if (memcmp((const void*)table, name, 4) == 0) {
      return table;
    }
  }
  fail("acpi: the XSDT names no %s", name);
}

static void read_processors(uint64_t madt, struct acpi_summary* summary) {
  const uint32_t size = checked_table(madt, "APIC");
  for (uint32_t at = HEADER_SIZE + 8; at + 2 <= size; at += load8(madt + at + 1)) {
    if (load8(madt + at + 1) < 2) {
      fail("acpi: MADT entry of size %u", (uint32_t)load8(madt + at + 1));
    }
    const int enabled_local_apic = load8(madt + at) == 0 && (load32(madt + at + 4) & 1) != 0;
    if (enabled_local_apic && summary->processor_count < MAX_APIC_IDS) {
      summary->apic_ids[summary->processor_count++] = load8(madt + at + 3);
    }
  }
}

static unsigned count_virtio_devices(uint64_t dsdt) {
  const uint32_t size = checked_table(dsdt, "DSDT");
  unsigned count = 0;
  for (uint32_t at = HEADER_SIZE; at + 8 <= size; ++at) {
    if (*(const char*)(dsdt + at) == 'L' && memcmp((const void*)(dsdt + at), "LNRO0005", 8) == 0) {
      ++count;
    }
  }
  return count;
}

struct acpi_summary read_acpi(void) {
  struct acpi_summary summary = {0};
  const uint64_t xsdt = load64(find_rsdp() + 24);
  const uint64_t fadt = find_table(xsdt, "FACP");
  checked_table(fadt, "FACP");
  const uint64_t extended = load64(fadt + 140);
  read_processors(find_table(xsdt, "APIC"), &summary);
  summary.virtio_device_count = count_virtio_devices(extended != 0 ? extended : load32(fadt + 40));
  return summary;
}
