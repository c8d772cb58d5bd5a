// Attacks on a drive's live queue, on ports and addresses that belong to nobody, and by haste.
#include "hostile/hostile.h"

enum { STORM_RESETS = 50 };
enum { LINE_CONTROL = 3, MODEM_CONTROL = 4, INTERRUPT_ENABLE = 1, EIGHT_BITS = 3 };

static void address_holes(void) {
  static const uint64_t holes[] = {0xc0000000, 0xd0000001, 0xee000ffe, 0xfe000000, 0xfeb00003, 0xfed00000};
  for (unsigned i = 0; i < sizeof holes / sizeof holes[0]; ++i) {
    read_every_way(holes[i]);
    write_every_way(holes[i], 0x5a5a5a5a5a5a5a5aULL);
  }
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
    {"address_holes", address_holes},
    {"queue_changes_while_live", queue_changes_while_live},
    {"reset_storm", reset_storm},
    {"serial_port", serial_port},
    {"keyboard_controller", keyboard_controller},
    {"unknown_ports", unknown_ports},
};
const unsigned kFreeAttackCount = sizeof kFreeAttacks / sizeof kFreeAttacks[0];
