// Attacks through a device's own registers; they work on whatever device `target` is.
#include "hostile/hostile.h"

enum { WINDOW_SIZE = 0x1000, CONFIG_END = 0x140, STORM_KICKS = 1000 };

void read_every_way(uint64_t address) {
  load8(address);
  load16(address);
  load32(address);
  load64(address);
}

void write_every_way(uint64_t address, uint64_t value) {
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
  virtio_negotiate(&target, target_features);
  virtio_write(&target, REG_QUEUE_SELECT, target.queue);
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
  const uint64_t places[] = {0xd0000000, ~0ULL, 0xfffffffffffff000ULL, 0x9fbf1, 1, target.base, hotplug_region};
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
  start_with_queue(QUEUE_SIZE, good[0], good[1], good[0]);  // what the device writes changes what it reads
  start_with_queue(QUEUE_SIZE, good[0], good[1], good[1]);
}

static void kick_storm(void) {
  static const uint32_t queues[] = {0, 1, 0xffff, 0xffffffff};
  for (unsigned i = 0; i < STORM_KICKS; ++i) {
    virtio_write(&target, REG_QUEUE_NOTIFY, queues[i % 4]);
  }
}

// Every byte of the configuration space, while the device works.
static void config_writes(void) {
  for (uint64_t offset = REG_CONFIG; offset < CONFIG_END; ++offset) {
    write_every_way(target.base + offset, 0x5a5a5a5a5a5a5a5aULL);
  }
}

const struct free_attack kRegisterAttacks[] = {
    {"register_reads", register_reads}, {"register_writes", register_writes},
    {"window_edges", window_edges},     {"features_refused", features_refused},
    {"status_jumps", status_jumps},     {"queue_nonsense", queue_nonsense},
    {"kick_storm", kick_storm},         {"config_writes", config_writes},
};
const unsigned kRegisterAttackCount = sizeof kRegisterAttacks / sizeof kRegisterAttacks[0];
