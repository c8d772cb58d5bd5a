// Attacks through any queue of any device: each spoils one good request that is laid out in descriptors 0 to 2.
#include "hostile/device_attacks.h"

enum { RUNAWAY_STEPS = 500 };
static const uint64_t kHole = 0xd0000000;
static struct descriptor indirect_table[QUEUE_SIZE] __attribute__((aligned(16)));

static void index_jump(struct virtio_device* queue) {
  queue->available->index = (uint16_t)(queue->available->index + 1000);
}
static void index_back(struct virtio_device* queue) {
  queue->available->index = (uint16_t)(queue->available->index - 2);
}
static void index_runaway(struct virtio_device* queue) {
  for (unsigned i = 0; i < RUNAWAY_STEPS; ++i) {
    queue->available->index = (uint16_t)(queue->available->index + 1);
    if (i % 50 == 49) {
      virtio_notify(queue);
    }
  }
}
static void nothing(struct virtio_device* queue) {
  (void)queue;
}
static void next_range(struct virtio_device* queue) {
  queue->descriptors[0].next = QUEUE_SIZE;
}
static void next_far(struct virtio_device* queue) {
  queue->descriptors[1].next = 0xffff;
}
static void self_loop(struct virtio_device* queue) {
  queue->descriptors[0].next = 0;
}
static void long_loop(struct virtio_device* queue) {
  queue->descriptors[2].flags |= DESCRIPTOR_NEXT;
  queue->descriptors[2].next = 1;
}
static void full_loop(struct virtio_device* queue) {
  for (uint16_t i = 3; i < QUEUE_SIZE; ++i) {
    queue->descriptors[i] = queue->descriptors[2];
    queue->descriptors[i].flags |= DESCRIPTOR_NEXT;
    queue->descriptors[i].next = (uint16_t)((i + 1) % QUEUE_SIZE);
  }
  queue->descriptors[2].flags |= DESCRIPTOR_NEXT;
  queue->descriptors[2].next = 3;
}

// The same head made available as often as the ring can hold.
static void head_many_times(struct virtio_device* queue) {
  for (unsigned i = 0; i + 1 < QUEUE_SIZE; ++i) {
    virtio_push(queue, 0);
  }
}

static void make_indirect(struct virtio_device* queue) {
  for (unsigned i = 0; i < 3; ++i) {
    indirect_table[i] = queue->descriptors[i];
  }
  queue->descriptors[0] =
      (struct descriptor){(uint64_t)indirect_table, sizeof(struct descriptor) * 3, DESCRIPTOR_INDIRECT, 0};
}
static void indirect_nested(struct virtio_device* queue) {
  make_indirect(queue);
  indirect_table[1].flags |= DESCRIPTOR_INDIRECT;
}
static void indirect_loop(struct virtio_device* queue) {
  make_indirect(queue);
  indirect_table[1].next = 1;
}
static void indirect_range(struct virtio_device* queue) {
  make_indirect(queue);
  indirect_table[0].next = 3;
}
static void indirect_odd(struct virtio_device* queue) {
  make_indirect(queue);
  queue->descriptors[0].length += 1;
}
static void indirect_empty(struct virtio_device* queue) {
  make_indirect(queue);
  queue->descriptors[0].length = 0;
}
static void indirect_huge(struct virtio_device* queue) {
  make_indirect(queue);
  queue->descriptors[0].length = 0xfffffff0;
}
static void indirect_outside(struct virtio_device* queue) {
  make_indirect(queue);
  queue->descriptors[0].address = kHole;
}
static void indirect_in_device(struct virtio_device* queue) {
  make_indirect(queue);
  queue->descriptors[0].address = queue->base;
}
static void indirect_chained(struct virtio_device* queue) {
  make_indirect(queue);
  queue->descriptors[0].flags = DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT;
  queue->descriptors[0].next = 1;
}

static void buffer_outside(struct virtio_device* queue) {
  queue->descriptors[1].address = kHole;
}
static void buffer_wraps(struct virtio_device* queue) {
  queue->descriptors[1].address = ~0ULL - 1;
}
static void buffer_in_device(struct virtio_device* queue) {
  queue->descriptors[1].address = queue->base + REG_QUEUE_NOTIFY;
}
static void buffer_in_hotplug(struct virtio_device* queue) {
  queue->descriptors[1].address = hotplug_region + (64ULL << 20);
}
static void buffer_crosses_end(struct virtio_device* queue) {
  queue->descriptors[1].address = memory_end() - 1;
}
static void buffer_huge(struct virtio_device* queue) {
  queue->descriptors[1].length = 0xffffff00;
}
static void buffers_add_up(struct virtio_device* queue) {
  queue->descriptors[0].length = queue->descriptors[1].length = queue->descriptors[2].length = 0x60000000;
}
static void buffer_empty(struct virtio_device* queue) {
  queue->descriptors[1].length = 0;
}
static void buffers_empty(struct virtio_device* queue) {
  queue->descriptors[0].length = queue->descriptors[1].length = queue->descriptors[2].length = 0;
}
static void direction_flipped(struct virtio_device* queue) {
  for (unsigned i = 0; i < 3; ++i) {
    queue->descriptors[i].flags ^= DESCRIPTOR_WRITE;
  }
}
static void direction_mixed(struct virtio_device* queue) {
  queue->descriptors[0].flags |= DESCRIPTOR_WRITE;
  queue->descriptors[2].flags &= (uint16_t)~DESCRIPTOR_WRITE;
}
static void buffer_is_ring(struct virtio_device* queue) {
  queue->descriptors[2].address = (uint64_t)queue->available;
}
static void flags_unknown(struct virtio_device* queue) {
  queue->descriptors[0].flags |= 0xfff8;
}

const struct queue_attack kQueueAttacks[] = {
    {"index_jump", QUEUE_BROKEN, index_jump, 0},
    {"index_back", QUEUE_BROKEN, index_back, 0},
    {"index_runaway", ANSWERED, index_runaway, 0},  // frames may come before it has run too far
    {"head_range", QUEUE_BROKEN, nothing, QUEUE_SIZE},
    {"head_far", QUEUE_BROKEN, nothing, 0xffff},
    {"next_range", QUEUE_BROKEN, next_range, 0},
    {"next_far", ANSWERED, next_far, 0},
    {"self_loop", QUEUE_BROKEN, self_loop, 0},
    {"long_loop", QUEUE_BROKEN, long_loop, 0},
    {"full_loop", QUEUE_BROKEN, full_loop, 0},
    {"head_many_times", ANSWERED, head_many_times, 0},
    {"indirect_nested", ANSWERED, indirect_nested, 0},
    {"indirect_loop", ANSWERED, indirect_loop, 0},
    {"indirect_range", ANSWERED, indirect_range, 0},
    {"indirect_odd", ANSWERED, indirect_odd, 0},
    {"indirect_empty", ANSWERED, indirect_empty, 0},
    {"indirect_huge", ANSWERED, indirect_huge, 0},
    {"indirect_outside", ANSWERED, indirect_outside, 0},
    {"indirect_in_device", ANSWERED, indirect_in_device, 0},
    {"indirect_chained", ANSWERED, indirect_chained, 0},
    {"buffer_outside", BUFFER_BACK, buffer_outside, 0},
    {"buffer_wraps", BUFFER_BACK, buffer_wraps, 0},
    {"buffer_in_device", BUFFER_BACK, buffer_in_device, 0},
    {"buffer_in_hotplug", BUFFER_BACK, buffer_in_hotplug, 0},
    {"buffer_crosses_end", BUFFER_BACK, buffer_crosses_end, 0},
    {"buffer_huge", BUFFER_BACK, buffer_huge, 0},
    {"buffers_add_up", BUFFER_BACK, buffers_add_up, 0},
    {"buffer_empty", ANSWERED, buffer_empty, 0},
    {"buffers_empty", ANSWERED, buffers_empty, 0},
    {"direction_flipped", ANSWERED, direction_flipped, 0},
    {"direction_mixed", ANSWERED, direction_mixed, 0},
    {"flags_unknown", ANSWERED, flags_unknown, 0},
    {"buffer_is_ring", ANYTHING, buffer_is_ring, 0},
};
const unsigned kQueueAttackCount = sizeof kQueueAttacks / sizeof kQueueAttacks[0];
