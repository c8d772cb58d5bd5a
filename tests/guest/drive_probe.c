// A drive on order. "read <sector>" prints "drive: sum=<block_sum>"; "write <sector> <byte>" fills it; "spin" reads
// sector 0 until the next order and prints "drive: reads=<n> kinds=<different contents seen>"; "size" prints "drive:
// capacity=<sectors> generation=<n> changed=<0|1>" (1: a configuration change interrupt was raised, which is then
// acknowledged); "reads <n>" reads sector 0 n times; "resets" resets the device with a request on its way, and starts
// it again, until the next order, and prints "drive: resets=<n>"; "flush"; "until_broken" reads sector 0 until the
// device needs a reset; "restart" resets the device and starts it anew; "status" prints "drive: status=<n>
// used_interrupt=<0|1>"; "quit".
#include "runtime/block.h"
#include "runtime/command.h"

static struct virtio_device drive;
static uint8_t data[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));

static uint32_t read_sector(uint32_t sector) {
  if (block_request(&drive, BLOCK_IN, sector, data, SECTOR_SIZE) != BLOCK_OK) {
    fail("drive: reading sector %u has status %u", sector, (uint32_t)block_status);
  }
  return block_sum(data, SECTOR_SIZE);
}

static void write_sector(uint32_t sector, uint8_t byte) {
  memset(data, byte, SECTOR_SIZE);
  if (block_request(&drive, BLOCK_OUT, sector, data, SECTOR_SIZE) != BLOCK_OK) {
    fail("drive: writing sector %u has status %u", sector, (uint32_t)block_status);
  }
}

static void spin(void) {
  uint32_t last = read_sector(0), reads = 1, kinds = 1;
  while (!command_waiting()) {
    const uint32_t sum = read_sector(0);
    kinds += sum != last;
    last = sum;
    ++reads;
  }
  print("drive: reads=%u kinds=%u\n", reads, kinds);
}

static void reset_again_and_again(void) {
  uint32_t resets = 0;
  while (!command_waiting()) {
    block_prepare(&drive, BLOCK_IN, 0, data, SECTOR_SIZE);
    virtio_offer(&drive, 0);
    virtio_start(&drive, BLOCK_FEATURES);
    ++resets;
  }
  read_sector(0);
  print("drive: resets=%u\n", resets);
}

static void print_size(void) {
  const uint32_t raised = virtio_read(&drive, REG_INTERRUPT_STATUS);
  virtio_write(&drive, REG_INTERRUPT_ACK, raised);
  print("drive: capacity=%u generation=%u changed=%u\n", (uint32_t)block_capacity(&drive),
        virtio_read(&drive, REG_CONFIG_GENERATION), (raised >> 1) & 1);
}

static void read_until_broken(void) {
  struct used_element element;
  uint32_t reads = 0;
  for (;; ++reads) {
    block_prepare(&drive, BLOCK_IN, 0, data, SECTOR_SIZE);
    virtio_offer(&drive, 0);
    switch (virtio_wait(&drive, &element)) {
      case WAIT_USED: break;
      case WAIT_NEEDS_RESET: print("drive: broke after=%u\n", reads); return;
      case WAIT_TIMEOUT: fail("drive: neither answered nor broken");
    }
  }
}

// Unlike virtio_start, for a device that may not go live.
static void restart(void) {
  virtio_reset(&drive);
  if (!virtio_negotiate(&drive, virtio_offered_features(&drive) & BLOCK_FEATURES)) {
    fail("drive: refuses features that it offers");
  }
  virtio_set_up_queue(&drive);
  virtio_write(&drive, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

static void print_status(void) {
  print("drive: status=%u used_interrupt=%u\n", virtio_read(&drive, REG_STATUS),
        virtio_read(&drive, REG_INTERRUPT_STATUS) & 1);
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  virtio_bind(&drive, virtio_find(boot, VIRTIO_ID_BLOCK, 0), 0);
  virtio_start(&drive, BLOCK_FEATURES);
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    if (command_is(&order, "read")) {
      print("drive: sum=%u\n", read_sector(order.numbers[0]));
    } else if (command_is(&order, "write")) {
      write_sector(order.numbers[0], (uint8_t)order.numbers[1]);
    } else if (command_is(&order, "spin")) {
      spin();
    } else if (command_is(&order, "resets")) {
      reset_again_and_again();
    } else if (command_is(&order, "size")) {
      print_size();
    } else if (command_is(&order, "flush")) {
      print("drive: flushed=%u\n", (uint32_t)block_request(&drive, BLOCK_FLUSH, 0, 0, 0));
    } else if (command_is(&order, "until_broken")) {
      read_until_broken();
    } else if (command_is(&order, "restart")) {
      restart();
    } else if (command_is(&order, "status")) {
      print_status();
    }
    for (uint32_t i = 0; command_is(&order, "reads") && i < order.numbers[0]; ++i) {
      read_sector(0);
    }
    print("drive: %s done\n", order.word);
  }
}
