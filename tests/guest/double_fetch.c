// A second processor rewrites descriptors and the request header as fast as it can while the device reads them:
// whatever the device does, it must check and use the same copy. Needs two vCPUs and two drives; the first one is
// attacked.
//
// Every value that the second processor writes is either the good one or one that must be refused, so a request may end
// well, end with an error, or break the ring; memory that no descriptor ever names must stay as it is. Prints
//   double-fetch: ok=<n> error=<n> reset=<n>
//   double-fetch: survived
#include "runtime/block.h"
#include "runtime/processors.h"

enum { ROUNDS = 200, BUFFER_SIZE = 4 * SECTOR_SIZE, USER_STACK_SIZE = 4096, CANARY_SIZE = 4096 };
static const uint64_t kNowhere = 0xfffffffffffff000ULL;  // address + length wraps

static struct virtio_device target, witness;
static struct __attribute__((aligned(4096))) {
  uint8_t before[CANARY_SIZE];
  uint8_t data[BUFFER_SIZE] __attribute__((aligned(4096)));
  uint8_t after[CANARY_SIZE] __attribute__((aligned(4096)));
} area;
static uint8_t user_stack[USER_STACK_SIZE] __attribute__((aligned(16)));

static volatile uint32_t stop_rewriting, rewriting_stopped;

// At CPL 3 on the second processor, until it is told to stop: the request header is shared with the other drive's
// requests.
static void rewrite(void) {
  volatile struct descriptor* chain = target.descriptors;
  while (!stop_rewriting) {
    chain[1].address = kNowhere;
    chain[0].next = 0xffff;
    block_header.operation = 0x7777;
    chain[1].address = (uint64_t)area.data;
    chain[1].length = 0xffffffff;
    chain[0].next = 1;
    chain[1].length = BUFFER_SIZE;
    block_header.sector = ~0ULL;
    block_header.operation = BLOCK_IN;
    chain[1].next = 1;  // a loop
    block_header.sector = 0;
    chain[1].next = 2;
  }
  rewriting_stopped = 1;
  for (;;) {
    relax();
  }
}

static void attack_from(unsigned index) {
  if (index == 1) {
    run_as_user(rewrite, user_stack + USER_STACK_SIZE);
  }
}

static void check_canaries(void) {
  for (unsigned i = 0; i < CANARY_SIZE; i += sizeof(uint64_t)) {
    if (*(volatile uint64_t*)(area.before + i) != 0 || *(volatile uint64_t*)(area.after + i) != 0) {
      fail("memory that no descriptor names has changed");
    }
  }
}

static void check_witness(uint32_t sum) {
  static uint8_t sector[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));
  if (block_request(&witness, BLOCK_IN, 0, sector, SECTOR_SIZE) != BLOCK_OK || block_sum(sector, SECTOR_SIZE) != sum) {
    fail("the other drive no longer works");
  }
}

void guest_main(const struct boot_info* boot) {
  static uint8_t sector[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));
  uint32_t good = 0, refused = 0, broken = 0;
  struct used_element element;
  print("GUEST-UP\n");
  if (boot->slot_count < 2) {
    fail("needs two drives");
  }
  virtio_bind(&target, &boot->slots[0], 0);
  virtio_bind(&witness, &boot->slots[1], 1);
  virtio_start(&witness, BLOCK_FEATURES);
  block_request(&witness, BLOCK_IN, 0, sector, SECTOR_SIZE);
  const uint32_t witness_sum = block_sum(sector, SECTOR_SIZE);
  virtio_start(&target, BLOCK_FEATURES);
  const struct acpi_summary acpi = read_acpi();
  if (start_processors(&acpi, attack_from) < 2) {
    fail("needs two processors");
  }
  for (unsigned round = 0; round < ROUNDS; ++round) {
    block_prepare(&target, BLOCK_IN, 0, area.data, BUFFER_SIZE);
    virtio_offer(&target, 0);
    switch (virtio_wait(&target, &element)) {
      case WAIT_USED: block_status == BLOCK_OK ? ++good : ++refused; break;
      case WAIT_NEEDS_RESET:
        ++broken;
        virtio_start(&target, BLOCK_FEATURES);
        break;
      case WAIT_TIMEOUT: fail("round %u: the request is lost", round);
    }
  }
  stop_rewriting = 1;
  while (!rewriting_stopped) {
    relax();
  }
  check_canaries();
  check_witness(witness_sum);
  print("double-fetch: ok=%u error=%u reset=%u\ndouble-fetch: survived\n", good, refused, broken);
}
