// Finds every virtio block device as a real driver does, reads, writes, flushes and asks for the id, and reports.
//
// What the host checks (tests/integration): "GUEST-UP", "cmdline: ...", "acpi: ok cpus=N virtio=N", and per drive
//   blkN: capacity=<sectors> features=<offered> id=<20 bytes> ro=<0|1>
//   blkN: read ok sum=<block_sum of the first sector>
//   blkN: write ok | blkN: write refused        the first sector's bytes, each xor 0xff, written to the last sector
//   blkN: flush ok | blkN: flush not offered
//   blkN: interrupt ok                          one request's completion arrived as an interrupt
#include "runtime/acpi.h"
#include "runtime/block.h"

static uint8_t data[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));
static uint8_t again[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));

static void report_identity(struct virtio_device* device, unsigned number) {
  char id[BLOCK_ID_SIZE + 1] = {0};
  if (block_request(device, BLOCK_GET_ID, 0, id, BLOCK_ID_SIZE) != BLOCK_OK) {
    fail("blk%u: GET_ID has status %u", number, (uint32_t)block_status);
  }
  print("blk%u: capacity=%u features=0x%x id=%s ro=%u\n", number, (uint32_t)block_capacity(device),
        virtio_offered_features(device), id, (uint32_t)((device->features & VIRTIO_BLK_F_RO) != 0));
}

static void check_read(struct virtio_device* device, unsigned number) {
  if (block_request(device, BLOCK_IN, 0, data, SECTOR_SIZE) != BLOCK_OK) {
    fail("blk%u: read has status %u", number, (uint32_t)block_status);
  }
  print("blk%u: read ok sum=%u\n", number, block_sum(data, SECTOR_SIZE));
}

static void check_write(struct virtio_device* device, unsigned number) {
  const uint64_t last = block_capacity(device) - 1;
  for (unsigned i = 0; i < SECTOR_SIZE; ++i) {
    data[i] = (uint8_t)~data[i];
  }
  const uint8_t status = block_request(device, BLOCK_OUT, last, data, SECTOR_SIZE);
  if ((device->features & VIRTIO_BLK_F_RO) != 0) {
    if (status == BLOCK_OK) {
      fail("blk%u: a read-only drive took a write", number);
    }
    print("blk%u: write refused\n", number);
    return;
  }
  if (status != BLOCK_OK || block_request(device, BLOCK_IN, last, again, SECTOR_SIZE) != BLOCK_OK) {
    fail("blk%u: write and read back have status %u, %u", number, (uint32_t)status, (uint32_t)block_status);
  }
  if (memcmp(data, again, SECTOR_SIZE) != 0) {
    fail("blk%u: what was written is not what is read", number);
  }
  print("blk%u: write ok\n", number);
}

static void check_flush(struct virtio_device* device, unsigned number) {
  if ((device->features & VIRTIO_BLK_F_FLUSH) == 0) {
    print("blk%u: flush not offered\n", number);
    return;
  }
  if (block_request(device, BLOCK_FLUSH, 0, 0, 0) != BLOCK_OK) {
    fail("blk%u: flush has status %u", number, (uint32_t)block_status);
  }
  print("blk%u: flush ok\n", number);
}

static void check_interrupt(struct virtio_device* device, unsigned number) {
  const struct deadline deadline = deadline_start();
  // Acknowledge what the polled requests left behind, so that the next completion is a new edge.
  virtio_write(device, REG_INTERRUPT_ACK, virtio_read(device, REG_INTERRUPT_STATUS));
  interrupt_count = 0;
  enable_device_interrupt(device->interrupt);
  block_request(device, BLOCK_IN, 0, data, SECTOR_SIZE);
  while (interrupt_count == 0) {
    if (deadline_passed(&deadline)) {
      fail("blk%u: no interrupt on line %u", number, device->interrupt);
    }
    relax();
  }
  if ((virtio_read(device, REG_INTERRUPT_STATUS) & 1) == 0) {
    fail("blk%u: an interrupt without the used-buffer bit", number);
  }
  virtio_write(device, REG_INTERRUPT_ACK, 1);
  disable_device_interrupt(device->interrupt);
  if (virtio_read(device, REG_INTERRUPT_STATUS) != 0) {
    fail("blk%u: the interrupt status stays after its acknowledgement", number);
  }
  print("blk%u: interrupt ok\n", number);
}

static void probe_drive(const struct virtio_slot* slot, unsigned number) {
  static struct virtio_device device;
  virtio_bind(&device, slot, number % 8);
  if (virtio_read(&device, REG_DEVICE_ID) != VIRTIO_ID_BLOCK) {
    print("slot%u: device id %u\n", number, virtio_read(&device, REG_DEVICE_ID));
    return;
  }
  virtio_start(&device, BLOCK_FEATURES);
  report_identity(&device, number);
  check_read(&device, number);
  check_write(&device, number);
  check_flush(&device, number);
  check_interrupt(&device, number);
  virtio_reset(&device);
}

void guest_main(const struct boot_info* boot) {
  print("GUEST-UP\nboot: %s\ncmdline: %s\n", boot->protocol == BOOT_PVH ? "pvh" : "linux64", boot->command_line);
  const struct acpi_summary acpi = read_acpi();
  print("acpi: ok cpus=%u virtio=%u\n", acpi.processor_count, acpi.virtio_device_count);
  if (acpi.virtio_device_count != boot->slot_count) {
    fail("the DSDT describes %u virtio devices, the command line %u", acpi.virtio_device_count, boot->slot_count);
  }
  for (unsigned number = 0; number < boot->slot_count; ++number) {
    probe_drive(&boot->slots[number], number);
  }
}
