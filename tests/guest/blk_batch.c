// Reads of the first drive in batches of 32 requests for one notification, for the benchmark: what a kick costs is
// shared by many requests, as a busy driver has it. "read <n>" makes n batches of 4 KiB reads all over the drive and
// prints "batch: requests=<n * 32>"; "quit".
#include "runtime/block.h"
#include "runtime/command.h"

enum { DEPTH = 32, REQUEST_SIZE = 4096, PARTS = 3, SECTORS_PER_REQUEST = REQUEST_SIZE / SECTOR_SIZE };

// A ring of its own: the runtime's are smaller. The available ring never changes but for its index.
static struct __attribute__((aligned(4096))) {
  struct descriptor descriptors[DEPTH] __attribute__((aligned(4096)));
  struct {
    uint16_t flags, index, ring[DEPTH], used_event;
  } available __attribute__((aligned(4096)));
  struct {
    uint16_t flags, index;
    struct used_element ring[DEPTH];
    uint16_t available_event;
  } used __attribute__((aligned(4096)));
  struct descriptor tables[DEPTH][PARTS] __attribute__((aligned(4096)));
  struct block_header headers[DEPTH];
  uint8_t status[DEPTH];
} ring;
static uint8_t data[DEPTH][REQUEST_SIZE] __attribute__((aligned(4096)));
static struct virtio_device drive;

static void write_address(enum virtio_register reg, const volatile void* address) {
  virtio_write(&drive, reg, (uint32_t)(uint64_t)address);
  virtio_write(&drive, reg + 4, (uint32_t)((uint64_t)address >> 32));
}

static void lay_out(void) {
  for (uint16_t slot = 0; slot < DEPTH; ++slot) {
    struct descriptor* table = ring.tables[slot];
    ring.headers[slot].operation = BLOCK_IN;
    table[0] = (struct descriptor){(uint64_t)&ring.headers[slot], sizeof ring.headers[slot], DESCRIPTOR_NEXT, 1};
    table[1] = (struct descriptor){(uint64_t)data[slot], REQUEST_SIZE, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 2};
    table[2] = (struct descriptor){(uint64_t)&ring.status[slot], 1, DESCRIPTOR_WRITE, 0};
    ring.descriptors[slot] = (struct descriptor){(uint64_t)table, sizeof ring.tables[slot], DESCRIPTOR_INDIRECT, 0};
    ring.available.ring[slot] = slot;
  }
}

static void start(const struct boot_info* boot) {
  virtio_bind(&drive, virtio_find(boot, VIRTIO_ID_BLOCK, 0), 0);
  if (!virtio_negotiate(&drive, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC)) {
    fail("batch: the drive refuses its features");
  }
  lay_out();
  virtio_write(&drive, REG_QUEUE_SELECT, 0);
  virtio_write(&drive, REG_QUEUE_SIZE, DEPTH);
  write_address(REG_QUEUE_DESCRIPTORS, ring.descriptors);
  write_address(REG_QUEUE_AVAILABLE, &ring.available);
  write_address(REG_QUEUE_USED, &ring.used);
  virtio_write(&drive, REG_QUEUE_READY, 1);
  virtio_write(&drive, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

static void read_batches(uint32_t count) {
  volatile uint16_t* used_index = &ring.used.index;
  const uint32_t blocks = (uint32_t)(block_capacity(&drive) / SECTORS_PER_REQUEST);
  uint32_t block = 0;
  for (uint32_t batch = 0; batch < count; ++batch) {
    for (unsigned slot = 0; slot < DEPTH; ++slot) {
      block = (block + 7919) % blocks;
      ring.headers[slot].sector = (uint64_t)block * SECTORS_PER_REQUEST;
      ring.status[slot] = BLOCK_UNTOUCHED;
    }
    full_barrier();
    *(volatile uint16_t*)&ring.available.index = (uint16_t)(ring.available.index + DEPTH);
    full_barrier();
    virtio_notify(&drive);
    const struct deadline deadline = deadline_start();
    while (*used_index != ring.available.index) {
      if (deadline_passed(&deadline)) {
        fail("batch: %u of %u requests came back", (uint32_t)*used_index, (uint32_t)ring.available.index);
      }
      relax();
    }
    for (unsigned slot = 0; slot < DEPTH; ++slot) {
      if (ring.status[slot] != BLOCK_OK) {
        fail("batch: request %u has status %u", (uint32_t)slot, (uint32_t)ring.status[slot]);
      }
    }
  }
  print("batch: requests=%u\n", count * DEPTH);
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  start(boot);
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    if (command_is(&order, "read")) {
      read_batches(order.numbers[0]);
    }
    print("batch: %s done\n", order.word);
  }
}
