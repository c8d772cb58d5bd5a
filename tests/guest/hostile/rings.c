// Attacks through the rings: each spoils one good read request.
#include "hostile/hostile.h"

static const uint64_t kHole = 0xd0000000;              // between memory and the device window
static const uint64_t kWrapping = 0xfffffffffffff800;  // address + length passes 2^64
static struct descriptor indirect_table[QUEUE_SIZE] __attribute__((aligned(16)));

static volatile struct descriptor* at(unsigned index) {
  return &target.descriptors[index];
}

static void available_index_jump(void) {
  target.available->index = (uint16_t)(target.available->index + 1000);
}
static void available_index_back(void) {
  target.available->index = (uint16_t)(target.available->index - 2);
}
static void head_range(void) {}
static void next_range(void) {
  at(0)->next = QUEUE_SIZE;
}
static void self_loop(void) {
  at(0)->next = 0;
}
static void long_loop(void) {
  at(2)->flags = DESCRIPTOR_WRITE | DESCRIPTOR_NEXT, at(2)->next = 1;
}

// Moves the whole request into an indirect table that descriptor 0 names.
static void make_indirect(void) {
  for (unsigned i = 0; i < 3; ++i) {
    indirect_table[i] = *at(i);
  }
  *at(0) = (struct descriptor){(uint64_t)indirect_table, 3 * sizeof(struct descriptor), DESCRIPTOR_INDIRECT, 0};
}
static void indirect_nested(void) {
  make_indirect();
  indirect_table[1].flags |= DESCRIPTOR_INDIRECT;
}
static void indirect_self_loop(void) {
  make_indirect();
  indirect_table[1].next = 1;
}
static void indirect_next_range(void) {
  make_indirect();
  indirect_table[0].next = 3;
}
static void indirect_odd_length(void) {
  make_indirect();
  at(0)->length = 3 * sizeof(struct descriptor) + 1;
}
static void indirect_empty(void) {
  make_indirect();
  at(0)->length = 0;
}
static void indirect_huge(void) {
  make_indirect();
  at(0)->length = 0xfffffff0;
}
static void indirect_outside(void) {
  make_indirect();
  at(0)->address = kHole;
}
static void indirect_and_next(void) {
  make_indirect();
  at(0)->flags = DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT;
}
static void indirect_writable(void) {
  make_indirect();
  at(0)->flags = DESCRIPTOR_INDIRECT | DESCRIPTOR_WRITE;
}

static void header_outside(void) {
  at(0)->address = kHole;
}
static void header_wraps(void) {
  at(0)->address = ~0ULL - 3;
}
static void header_short(void) {
  at(0)->length = sizeof(struct block_header) - 1;
}
static void header_writable(void) {
  at(0)->flags = DESCRIPTOR_NEXT | DESCRIPTOR_WRITE;
}
static void data_outside(void) {
  at(1)->address = kHole;
}
static void data_wraps(void) {
  at(1)->address = kWrapping;
}
static void data_in_device(void) {
  at(1)->address = target.base;
}
static void data_huge(void) {
  at(1)->length = 0xfffffe00;
}
static void data_empty(void) {
  at(1)->length = 0;
}
static void data_odd_length(void) {
  at(1)->length = SECTOR_SIZE - 1;
}
static void data_readable(void) {
  at(1)->flags = DESCRIPTOR_NEXT;
}
static void status_outside(void) {
  at(2)->address = kHole;
}
static void status_readable(void) {
  at(2)->flags = 0;
}
static void status_empty(void) {
  at(2)->length = 0;
}
static void header_only(void) {
  at(0)->flags = 0;
}
static void sector_beyond(void) {
  block_header.sector = block_capacity(&target);
}
static void sector_straddles(void) {
  block_header.sector = block_capacity(&target) - 1;
}
static void sector_wraps(void) {
  block_header.sector = ~0ULL;
}
static void sector_times_512_wraps(void) {
  block_header.sector = 1ULL << 55;
}
static void operation_unknown(void) {
  block_header.operation = 0x7fffffff;
}
static void write_wrong_direction(void) {
  block_header.operation = BLOCK_OUT;
}

const struct ring_attack kRingAttacks[] = {
    {"available_index_jump", END_NEEDS_RESET, available_index_jump, 0},
    {"available_index_back", END_NEEDS_RESET, available_index_back, 0},
    {"head_range", END_NEEDS_RESET, head_range, QUEUE_SIZE},
    {"head_far", END_NEEDS_RESET, head_range, 0xffff},
    {"next_range", END_NEEDS_RESET, next_range, 0},
    {"self_loop", END_NEEDS_RESET, self_loop, 0},
    {"long_loop", END_NEEDS_RESET, long_loop, 0},
    {"indirect_nested", END_ANY, indirect_nested, 0},
    {"indirect_self_loop", END_ANY, indirect_self_loop, 0},
    {"indirect_next_range", END_ANY, indirect_next_range, 0},
    {"indirect_odd_length", END_ANY, indirect_odd_length, 0},
    {"indirect_empty", END_ANY, indirect_empty, 0},
    {"indirect_huge", END_ANY, indirect_huge, 0},
    {"indirect_outside", END_ANY, indirect_outside, 0},
    {"indirect_and_next", END_ANY, indirect_and_next, 0},
    {"indirect_writable", END_ANY, indirect_writable, 0},
    {"header_outside", END_ERROR, header_outside, 0},
    {"header_wraps", END_ERROR, header_wraps, 0},
    {"header_short", END_ERROR, header_short, 0},
    {"header_writable", END_ERROR, header_writable, 0},
    {"data_outside", END_ERROR, data_outside, 0},
    {"data_wraps", END_ERROR, data_wraps, 0},
    {"data_in_device", END_ERROR, data_in_device, 0},
    {"data_huge", END_ERROR, data_huge, 0},
    {"data_empty", END_ANY, data_empty, 0},
    {"data_odd_length", END_ERROR, data_odd_length, 0},
    {"data_readable", END_ERROR, data_readable, 0},
    {"status_outside", END_ERROR, status_outside, 0},
    {"status_readable", END_ERROR, status_readable, 0},
    {"status_empty", END_ERROR, status_empty, 0},
    {"header_only", END_ERROR, header_only, 0},
    {"sector_beyond", END_ERROR, sector_beyond, 0},
    {"sector_straddles", END_ERROR, sector_straddles, 0},
    {"sector_wraps", END_ERROR, sector_wraps, 0},
    {"sector_times_512_wraps", END_ERROR, sector_times_512_wraps, 0},
    {"operation_unknown", END_ERROR, operation_unknown, 0},
    {"write_wrong_direction", END_ERROR, write_wrong_direction, 0},
};
const unsigned kRingAttackCount = sizeof kRingAttacks / sizeof kRingAttacks[0];
