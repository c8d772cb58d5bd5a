// A guest that attacks every kind of device. victim=<name> on the command line, or victim=all. Needs one of each: a
// drive (the witness), net with the metadata service, vsock, entropy, balloon with all queues, pmem, memory hot-plug
// with 2 MiB requested.
//
// After each attack the attacked device must work when it is set up anew and the witness must never have stopped; after
// all attacks on a device all others must work. Prints "attack <device>.<queue>.<name>: survived" for each. At the end
// one queue of each device is left broken, "hostile: quiet" is printed, and the processor halts: the host sees what the
// monitor does then.
#include "hostile/device_attacks.h"
#include "runtime/mem.h"

enum { SHORT_LOOKS = 400, RESETS = 20, WORD = 8 };
struct virtio_device target;
uint8_t data[DATA_SIZE] __attribute__((aligned(4096)));
uint64_t target_features, hotplug_region;
static struct virtio_device witness;
static uint32_t witness_sum, attack_count;

uint64_t memory_end(void) {
  uint64_t end = 0;
  for (unsigned i = 0; i < victim_boot->range_count; ++i) {
    const struct memory_range* range = &victim_boot->ranges[i];
    if (range->type == MEMORY_RAM && range->start + range->size > end && range->start < 0xc0000000) {
      end = range->start + range->size;
    }
  }
  return end;
}

static uint32_t read_witness(void) {
  if (block_request(&witness, BLOCK_IN, 0, data, SECTOR_SIZE) != BLOCK_OK) {
    fail("the witness has status %u", (uint32_t)block_status);
  }
  return block_sum(data, SECTOR_SIZE);
}

static void check_untouched(const char* name) {
  const uint8_t* const around[] = {request_area.before, request_area.between, request_area.after};
  for (unsigned i = 0; i < 3; ++i) {
    for (unsigned at = 0; at < REQUEST_ROOM; at += REQUEST_ROOM - WORD) {
      if (load64((uint64_t)around[i] + at) != 0) {
        fail("attack %s: memory beside the buffers has changed", name);
      }
    }
  }
}

static void survived(const struct victim* victim, const char* queue, const char* name) {
  if (read_witness() != witness_sum) {
    fail("attack %s.%s.%s: the witness reads something else", victim->name, queue, name);
  }
  check_untouched(name);
  victim->check_works();
  ++attack_count;
  print("attack %s.%s.%s: survived\n", victim->name, queue, name);
}

// Waits for an answer or DEVICE_NEEDS_RESET; not for long when silence is allowed.
static enum wait_result watch(struct virtio_device* queue, struct used_element* element, int silence_is_fine) {
  if (!silence_is_fine) {
    return virtio_wait(queue, element);
  }
  for (unsigned look = 0; look < SHORT_LOOKS; ++look) {
    if (virtio_take(queue, element)) {
      return WAIT_USED;
    }
  }
  return (virtio_read(queue, REG_STATUS) & STATUS_NEEDS_RESET) != 0 ? WAIT_NEEDS_RESET : WAIT_TIMEOUT;
}

static void check_outcome(const char* device, const char* name, enum outcome due, enum wait_result seen) {
  static const enum wait_result wanted[] = {[QUEUE_BROKEN] = WAIT_NEEDS_RESET, [BUFFER_BACK] = WAIT_USED};
  if (due == ANYTHING || (due == ANSWERED && seen != WAIT_TIMEOUT)) {
    return;
  }
  if (due == ANSWERED || wanted[due] != seen) {
    static const char* const texts[] = {
        [WAIT_USED] = "an answer", [WAIT_NEEDS_RESET] = "a broken queue", [WAIT_TIMEOUT] = "silence"};
    fail("attack %s.%s: %s", device, name, texts[seen]);
  }
}

static void attack_queue(const struct victim* victim, unsigned index, const struct queue_attack* attack) {
  const struct good_request* request = &victim->requests[index];
  struct virtio_device* queue = &victim->queues[index];
  struct used_element element;
  victim_start(victim);
  victim_lay_out(queue, request);
  attack->spoil(queue);
  virtio_offer(queue, attack->head);
  if (request->stimulate != 0) {
    request->stimulate();
  }
  // The statistics buffer is held until the next values are wanted.
  const int holds = victim->id == VIRTIO_ID_BALLOON && index == 2;
  const int may_be_silent = request->is_dormant || attack->due == ANYTHING || (holds && attack->due == ANSWERED);
  const enum wait_result seen = watch(queue, &element, may_be_silent);
  check_outcome(request->queue, attack->name, may_be_silent ? ANYTHING : attack->due, seen);
  survived(victim, request->queue, attack->name);
}

static void attack_requests(const struct victim* victim) {
  for (unsigned i = 0; i < kRequestAttackCount; ++i) {
    const struct request_attack* attack = &kRequestAttacks[i];
    struct used_element element = {0, 0};
    if (!text_equal(attack->device, victim->name)) {
      continue;
    }
    victim_start(victim);
    struct virtio_device* queue = &victim->queues[attack->queue];
    attack->lay_out(queue);
    virtio_offer(queue, 0);
    if (victim->requests[attack->queue].stimulate != 0) {
      victim->requests[attack->queue].stimulate();
    }
    const enum wait_result seen = watch(queue, &element, attack->due == ANYTHING);
    check_outcome(victim->name, attack->name, attack->due, seen);
    if (element.length > attack->most) {
      fail("attack %s.%s: %u bytes written", victim->name, attack->name, element.length);
    }
    const uint32_t answer = load16((uint64_t)request_area.writable);
    if (attack->answer != 0 && (element.length == 0 || answer != attack->answer)) {
      fail("attack %s.%s: answer %u in %u bytes", victim->name, attack->name, answer, element.length);
    }
    survived(victim, victim->requests[attack->queue].queue, attack->name);
  }
}

// A reset with requests in every queue; afterwards the memory is the driver's and must not change any more.
static void reset_storm(const struct victim* victim) {
  for (unsigned i = 0; i < RESETS; ++i) {
    victim_start(victim);
    for (unsigned index = 0; index < victim->queue_count; ++index) {
      victim_lay_out(&victim->queues[index], &victim->requests[index]);
      virtio_offer(&victim->queues[index], 0);
    }
    virtio_reset(&victim->queues[0]);
    memset(request_area.writable, 0xa5, WORD);
    victim->queues[0].used->index = 0x1234;
    for (unsigned spin = 0; spin < SHORT_LOOKS; ++spin) {
      relax();
    }
    if (request_area.writable[0] != 0xa5 || victim->queues[0].used->index != 0x1234) {
      fail("%s: the device writes to memory after its reset", victim->name);
    }
  }
  survived(victim, "all", "reset_storm");
}

// No register of a live queue may have an effect.
static void live_changes(const struct victim* victim) {
  victim->check_works();
  for (unsigned index = 0; index < victim->queue_count; ++index) {
    virtio_write(&target, REG_QUEUE_SELECT, index);
    virtio_write(&target, REG_QUEUE_SIZE, index % 2 == 0 ? 1 : 0xffff);
    virtio_write(&target, REG_QUEUE_DESCRIPTORS, 0xd0000000);
    virtio_write(&target, REG_QUEUE_AVAILABLE, 0xd0000000);
    virtio_write(&target, REG_QUEUE_USED + 4, 0xffffffff);
    virtio_notify(&victim->queues[index]);
  }
  virtio_write(&target, REG_DRIVER_FEATURES, 0xffffffff);
  survived(victim, "all", "live_changes");
}

static void attack_registers(const struct victim* victim) {
  for (unsigned index = 0; index < victim->queue_count; ++index) {
    for (unsigned i = 0; i < kRegisterAttackCount; ++i) {
      if (index != 0 && !text_equal(kRegisterAttacks[i].name, "queue_nonsense")) {
        continue;
      }
      target = victim->queues[index];
      target_features = victim->features;
      kRegisterAttacks[i].run();
      survived(victim, index == 0 ? "all" : victim->requests[index].queue, kRegisterAttacks[i].name);
    }
  }
  target = victim->queues[0];
  reset_storm(victim);
  live_changes(victim);
}

static void attack(const struct victim* victim) {
  for (unsigned index = 0; index < victim->queue_count; ++index) {
    for (unsigned i = 0; i < kQueueAttackCount; ++i) {
      attack_queue(victim, index, &kQueueAttacks[i]);
    }
  }
  attack_requests(victim);
  attack_registers(victim);
  for (unsigned i = 0; i < kVictimCount; ++i) {
    kVictims[i].check_works();
  }
}

static void leave_broken(void) {
  for (unsigned i = 0; i < kVictimCount; ++i) {
    victim_start(&kVictims[i]);
    for (unsigned index = 0; index < kVictims[i].queue_count; ++index) {
      virtio_offer(&kVictims[i].queues[index], 0xffff);
    }
  }
}

// The operator can ask for memory once the driver is there.
static void await_hotplug(void) {
  const struct deadline deadline = deadline_start();
  mem_start(victim_mem, victim_boot, 1);
  hotplug_region = virtio_config64(victim_mem, MEM_CONFIG_ADDRESS);
  print("hostile: waits for memory\n");
  while (virtio_config64(victim_mem, MEM_CONFIG_USABLE_SIZE) == 0) {
    if (deadline_passed(&deadline)) {
      fail("nobody asks for memory");
    }
  }
}

void guest_main(const struct boot_info* boot) {
  char wanted[16];
  victim_boot = boot;
  virtio_extra_features = VIRTIO_F_INDIRECT_DESC;
  if (!command_line_value(boot, "victim", wanted, sizeof wanted)) {
    fail("needs victim=<name> on the command line");
  }
  virtio_bind(&witness, virtio_find(boot, VIRTIO_ID_BLOCK, 0), 0);
  virtio_start(&witness, BLOCK_FEATURES);
  witness_sum = read_witness();
  await_hotplug();
  for (unsigned i = 0; i < kVictimCount; ++i) {
    kVictims[i].check_works();
  }
  print("GUEST-UP\n");
  for (unsigned i = 0; i < kVictimCount; ++i) {
    if (text_equal(wanted, "all") || text_equal(wanted, kVictims[i].name)) {
      attack(&kVictims[i]);
    }
  }
  leave_broken();
  print("attacks: %u\nhostile: quiet\n", attack_count);
  halt_forever();
}
