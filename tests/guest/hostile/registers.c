// Attacks through registers, ports and addresses that belong to nobody, and by haste.
#include "hostile/hostile.h"

enum { WINDOW_SIZE = 0x1000, CONFIG_END = 0x120, STORM_RESETS = 50, STORM_KICKS = 1000 };
enum { LINE_CONTROL = 3, MODEM_CONTROL = 4, INTERRUPT_ENABLE = 1, EIGHT_BITS = 3 };

static void read_every_way(uint64_t address) {
  load8(address);
  load16(address);
  load32(address);
  load64(address);
}

static void write_every_way(uint64_t address, uint64_t value) {
  store8(address, (uint8_t)value);
  store16(address, (uint16_t)value);
  store32(address, (uint32_t)value);
  store64(address, value);
}

static void register_reads(void) {
  for (uint64_t offset = 0; offset < WINDOW_SIZE - 8; offset += offset < CONFIG_END ? 1 : 61) {
    read_every_way(target.base + offset);
  }
}

static void register_writes(void) {
  for (uint64_t offset = 0; offset < CONFIG_END; ++offset) {
    write_every_way(target.base + offset, ~0ULL);
    write_every_way(target.base + offset, 0);
  }
}

static void window_edges(void) {
  for (uint64_t back = 1; back < 8; ++back) {
    read_every_way(target.base - back);
    read_every_way(target.base + WINDOW_SIZE - back);
    write_every_way(target.base + WINDOW_SIZE - back, 0);
  }
}

static void address_holes(void) {
  static const uint64_t holes[] = {0xc0000000, 0xd0000001, 0xee000ffe, 0xfe000000, 0xfeb00003, 0xfed00000};
  for (unsigned i = 0; i < sizeof holes / sizeof holes[0]; ++i) {
    read_every_way(holes[i]);
    write_every_way(holes[i], 0x5a5a5a5a5a5a5a5aULL);
  }
}

static void features_refused(void) {
  virtio_reset(&target);
  if (virtio_negotiate(&target, 0)) {
    fail("FEATURES_OK stays without VIRTIO_F_VERSION_1");
  }
  virtio_reset(&target);
  if (virtio_negotiate(&target, VIRTIO_F_VERSION_1 | (1ULL << 57))) {
    fail("FEATURES_OK stays with a feature that was not offered");
  }
}

static void status_jumps(void) {
  for (uint32_t status = 0; status < 0x100; status += 3) {
    virtio_write(&target, REG_STATUS, status);
    virtio_notify(&target);
  }
}

static void start_with_queue(uint32_t size, uint64_t descriptors, uint64_t available, uint64_t used) {
  virtio_reset(&target);
  virtio_negotiate(&target, VIRTIO_F_VERSION_1);
  virtio_write(&target, REG_QUEUE_SELECT, 0);
  virtio_write(&target, REG_QUEUE_SIZE, size);
  store32(target.base + REG_QUEUE_DESCRIPTORS, (uint32_t)descriptors);
  store32(target.base + REG_QUEUE_DESCRIPTORS + 4, (uint32_t)(descriptors >> 32));
  store32(target.base + REG_QUEUE_AVAILABLE, (uint32_t)available);
  store32(target.base + REG_QUEUE_AVAILABLE + 4, (uint32_t)(available >> 32));
  store32(target.base + REG_QUEUE_USED, (uint32_t)used);
  store32(target.base + REG_QUEUE_USED + 4, (uint32_t)(used >> 32));
  virtio_write(&target, REG_QUEUE_READY, 1);
  virtio_write(&target, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
  virtio_notify(&target);
  virtio_read(&target, REG_STATUS);
}

static void queue_nonsense(void) {
  static const uint32_t sizes[] = {0, 3, 17, 512, 0xffff, 0x10010};
  static const uint64_t places[] = {0xd0000000, ~0ULL, 0xfffffffffffff000ULL, 0x9fbf1, 1};
  const uint64_t good[] = {(uint64_t)target.descriptors, (uint64_t)target.available, (uint64_t)target.used};
  for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
    start_with_queue(sizes[i], good[0], good[1], good[2]);
  }
  for (unsigned i = 0; i < sizeof places / sizeof places[0]; ++i) {
    start_with_queue(QUEUE_SIZE, places[i], good[1], good[2]);
    start_with_queue(QUEUE_SIZE, good[0], places[i], good[2]);
    start_with_queue(QUEUE_SIZE, good[0], good[1], places[i]);
  }
  start_with_queue(QUEUE_SIZE, good[0], good[0], good[0]);  // all in one place
}

static void queue_changes_while_live(void) {
  virtio_write(&target, REG_QUEUE_SELECT, 0xffffffff);
  virtio_write(&target, REG_QUEUE_READY, 1);
  virtio_write(&target, REG_QUEUE_SELECT, 0);
  virtio_write(&target, REG_QUEUE_SIZE, 1);
  virtio_write(&target, REG_QUEUE_DESCRIPTORS, 0xd0000000);
  virtio_write(&target, REG_DRIVER_FEATURES, 0xffffffff);
  if (block_request(&target, BLOCK_IN, 0, data, SECTOR_SIZE) != BLOCK_OK) {
    fail("writes to a live queue's registers have an effect");
  }
}

static void kick_storm(void) {
  static const uint32_t queues[] = {0, 1, 0xffff, 0xffffffff};
  for (unsigned i = 0; i < STORM_KICKS; ++i) {
    virtio_write(&target, REG_QUEUE_NOTIFY, queues[i % 4]);
  }
}

// A reset while a request is in flight; afterwards the memory is the driver's again and must not change any more.
static void reset_storm(void) {
  for (unsigned i = 0; i < STORM_RESETS; ++i) {
    virtio_start(&target, HOSTILE_FEATURES);
    block_prepare(&target, BLOCK_IN, 0, data, DATA_SIZE);
    virtio_offer(&target, 0);
    virtio_reset(&target);
    memset(data, 0xa5, SECTOR_SIZE);
    target.used->index = 0x1234;
    for (unsigned spin = 0; spin < 200; ++spin) {
      relax();
    }
    if (data[0] != 0xa5 || data[SECTOR_SIZE - 1] != 0xa5 || target.used->index != 0x1234) {
      fail("the device writes to memory after its reset");
    }
  }
}

static void write_port_every_way(uint16_t port, uint32_t value) {
  out8(port, (uint8_t)value);
  out16(port, (uint16_t)value);
  out32(port, value);
  in8(port);
  in16(port);
  in32(port);
}

static void serial_port(void) {
  put_char('\n');
  for (uint16_t port = COM1 - 3; port < COM1 + 9; ++port) {
    if (port != COM1) {  // would print; it is reached by the wider accesses of its neighbours
      write_port_every_way(port, 0xffffffff);
      write_port_every_way(port, 0);
    }
  }
  in16(COM1);
  in32(COM1);
  out16(COM1, 0x0a0a);
  out32(COM1, 0x0a0a0a0a);
  out8(COM1 + LINE_CONTROL, EIGHT_BITS);
  out8(COM1 + INTERRUPT_ENABLE, 0);
  out8(COM1 + MODEM_CONTROL, 0x0b);
}

// Every command below the output-line pulses (0xf0 to 0xff ask for a reset), then more data than the controller can
// hold.
static void keyboard_controller(void) {
  for (unsigned command = 0; command < 0xf0; ++command) {
    out8(KEYBOARD_COMMAND, (uint8_t)command);
    out8(KEYBOARD_DATA, 0x03);  // as output port: no reset, A20 on
    in8(KEYBOARD_DATA);
  }
  for (unsigned i = 0; i < 100; ++i) {
    out8(KEYBOARD_DATA, (uint8_t)i);
  }
  for (uint16_t port = KEYBOARD_DATA - 1; port <= KEYBOARD_COMMAND; ++port) {
    out16(port, 0);
    out32(port, 0);
    in16(port);
    in32(port);
  }
  for (unsigned i = 0; i < 100; ++i) {
    in8(KEYBOARD_DATA);
  }
}

static void unknown_ports(void) {
  static const uint16_t ports[] = {0x0f, 0x72, 0x80, 0x2f8, 0x510, 0xcf8, 0xcfe, 0x1234, 0xfffc};
  uint8_t bytes[64];
  for (unsigned i = 0; i < sizeof ports / sizeof ports[0]; ++i) {
    write_port_every_way(ports[i], 0);
  }
  uint8_t* in_to = bytes;
  const uint8_t* out_from = bytes;
  size_t in_count = sizeof bytes, out_count = sizeof bytes / 4;
  __asm__ volatile("rep insb" : "+D"(in_to), "+c"(in_count) : "d"(0x1234) : "memory");
  __asm__ volatile("rep outsl" : "+S"(out_from), "+c"(out_count) : "d"(0x1234) : "memory");
}

const struct free_attack kFreeAttacks[] = {
    {"register_reads", register_reads},
    {"register_writes", register_writes},
    {"window_edges", window_edges},
    {"address_holes", address_holes},
    {"features_refused", features_refused},
    {"status_jumps", status_jumps},
    {"queue_nonsense", queue_nonsense},
    {"queue_changes_while_live", queue_changes_while_live},
    {"kick_storm", kick_storm},
    {"reset_storm", reset_storm},
    {"serial_port", serial_port},
    {"keyboard_controller", keyboard_controller},
    {"unknown_ports", unknown_ports},
};
const unsigned kFreeAttackCount = sizeof kFreeAttacks / sizeof kFreeAttacks[0];
