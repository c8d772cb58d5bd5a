// A second processor rewrites the descriptors of a request as fast as it can while the device reads them, for every
// queue of every kind of device: whatever the device does, it must check and use the same copy. The devices are those
// of hostile/victims.h, and two vCPUs.
//
// A request may end well or badly or break the ring. Memory that no descriptor ever names must stay as it is, the
// device must work after a reset. Prints "double-fetch <device>.<queue>: back=<n> reset=<n>" for each, and
// "double-fetch: survived".
#include "hostile/victims.h"
#include "runtime/mem.h"
#include "runtime/processors.h"

enum { ROUNDS = 60, LOOKS = 300, USER_STACK_SIZE = 4096, RING = 1, WORD = 8 };
static const uint64_t kNowhere = 0xfffffffffffff000ULL;  // address + length wraps

// What the attacks on registers share; here only memory hot-plug's region is used.
struct virtio_device target;
uint64_t target_features, hotplug_region;
uint8_t data[DATA_SIZE];
static uint8_t user_stack[USER_STACK_SIZE] __attribute__((aligned(16)));
static volatile struct descriptor* volatile rewritten;
static volatile uint32_t rewriting, rewriter_rests = 1;

// At CPL 3 on the second processor: every value is the good one or one that must be refused.
static void rewrite(void) {
  for (;;) {
    const uint32_t on = rewriting;
    volatile struct descriptor* chain = rewritten;  // after `rewriting`, which is set after it
    rewriter_rests = !on;
    if (!on) {
      relax();
      continue;
    }
    const struct descriptor good[2] = {chain[0], chain[1]};
    while (rewriting) {
      chain[1].address = kNowhere;
      chain[0].next = 0xffff;
      chain[1].address = good[1].address;
      chain[1].length = 0xffffffff;
      chain[0].next = good[0].next;
      chain[0].flags = good[0].flags ^ DESCRIPTOR_WRITE;
      chain[1].length = good[1].length;
      chain[0].flags = good[0].flags;
      chain[1].next = 1;  // a loop
      chain[1].flags |= DESCRIPTOR_INDIRECT;
      chain[1].next = good[1].next;
      chain[1].flags = good[1].flags;
    }
    chain[0] = good[0];
    chain[1] = good[1];
  }
}

static void attack_from(unsigned index) {
  if (index == 1) {
    run_as_user(rewrite, user_stack + USER_STACK_SIZE);
  }
}

static void set_rewriting(uint32_t on) {
  rewriting = on;
  while (rewriter_rests == on) {
    relax();
  }
}

static void attack(const struct victim* victim, unsigned index) {
  struct virtio_device* queue = &victim->queues[index];
  struct used_element element;
  uint32_t back = 0, broken = 0;
  victim_start(victim);
  victim_lay_out(queue, &victim->requests[index]);
  rewritten = queue->descriptors;
  set_rewriting(1);
  for (unsigned round = 0; round < ROUNDS; ++round) {
    unsigned look = 0;
    virtio_offer(queue, 0);
    if (victim->requests[index].stimulate != 0) {
      victim->requests[index].stimulate();
    }
    while (look < LOOKS && !virtio_take(queue, &element)) {
      ++look;
    }
    back += look < LOOKS;
    if ((virtio_read(queue, REG_STATUS) & STATUS_NEEDS_RESET) != 0) {
      ++broken;
      victim_start(victim);
      victim_lay_out(queue, &victim->requests[index]);
    }
  }
  set_rewriting(0);
  victim->check_works();
  print("double-fetch %s.%s: back=%u reset=%u\n", victim->name, victim->requests[index].queue, back, broken);
}

static void check_untouched(void) {
  const uint8_t* const around[] = {request_area.before, request_area.between, request_area.after};
  for (unsigned i = 0; i < 3; ++i) {
    for (unsigned at = 0; at < REQUEST_ROOM; at += WORD) {
      if (load64((uint64_t)around[i] + at) != 0) {
        fail("memory that no descriptor names has changed");
      }
    }
  }
}

static void await_hotplug(void) {
  mem_start(victim_mem, victim_boot, RING);
  hotplug_region = virtio_config64(victim_mem, MEM_CONFIG_ADDRESS);
  print("hostile: waits for memory\n");
  while (virtio_config64(victim_mem, MEM_CONFIG_USABLE_SIZE) == 0) {
    relax();
  }
}

void guest_main(const struct boot_info* boot) {
  victim_boot = boot;
  await_hotplug();
  const struct acpi_summary acpi = read_acpi();
  if (start_processors(&acpi, attack_from) < 2) {
    fail("needs two processors");
  }
  for (unsigned i = 0; i < kVictimCount; ++i) {
    kVictims[i].check_works();
  }
  print("GUEST-UP\n");
  for (unsigned i = 0; i < kVictimCount; ++i) {
    for (unsigned index = 0; index < kVictims[i].queue_count; ++index) {
      if (!kVictims[i].requests[index].is_dormant) {
        attack(&kVictims[i], index);
      }
    }
  }
  check_untouched();
  print("double-fetch: survived\n");
}
