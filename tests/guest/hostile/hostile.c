// A guest that does what no driver may: attack=<name> on the command line, or attack=all. Needs two drives; the first
// one is attacked. After each attack the attacked device must work again when it is set up anew, and the other must
// never have stopped. Prints "attack <name>: survived" for each, "attacks: <n>" at the end.
#include "hostile/hostile.h"

struct virtio_device target;
uint64_t target_features = VIRTIO_F_VERSION_1, hotplug_region;
uint8_t data[DATA_SIZE] __attribute__((aligned(4096)));
static struct virtio_device witness;
static uint32_t target_sum, witness_sum;

static uint32_t read_first_sector(struct virtio_device* device) {
  if (block_request(device, BLOCK_IN, 0, data, SECTOR_SIZE) != BLOCK_OK) {
    fail("a good read at 0x%x has status %u", device->base, (uint32_t)block_status);
  }
  return block_sum(data, SECTOR_SIZE);
}

static void check_ending(const struct ring_attack* attack, enum wait_result result,
                         const struct used_element* element) {
  switch (result) {
    case WAIT_TIMEOUT: fail("attack %s: no answer and no DEVICE_NEEDS_RESET", attack->name);
    case WAIT_NEEDS_RESET:
      if (attack->due == END_ERROR) {
        fail("attack %s: DEVICE_NEEDS_RESET for a bad buffer in a good ring", attack->name);
      }
      return;
    case WAIT_USED:
      if (attack->due == END_NEEDS_RESET) {
        fail("attack %s: an answer (status %u) from a broken ring", attack->name, (uint32_t)block_status);
      }
      if (attack->due == END_ERROR && (block_status == BLOCK_OK || element->id != attack->head)) {
        fail("attack %s: buffer %u came back with status %u", attack->name, element->id, (uint32_t)block_status);
      }
  }
}

static void run_ring_attack(const struct ring_attack* attack) {
  struct used_element element = {0, 0};
  block_prepare(&target, BLOCK_IN, 0, data, DATA_SIZE);
  attack->spoil();
  virtio_offer(&target, attack->head);
  check_ending(attack, virtio_wait(&target, &element), &element);
}

static void check_recovery(const char* name) {
  if (read_first_sector(&witness) != witness_sum) {
    fail("attack %s: the other drive reads something else", name);
  }
  virtio_start(&target, HOSTILE_FEATURES);
  if (read_first_sector(&target) != target_sum) {
    fail("attack %s: the attacked drive reads something else", name);
  }
  print("attack %s: survived\n", name);
}

static int is_wanted(const char* wanted, const char* name) {
  return text_equal(wanted, "all") || text_equal(wanted, name);
}

static uint32_t run_free_attacks(const char* wanted, const struct free_attack* attacks, unsigned attack_count) {
  uint32_t count = 0;
  for (unsigned i = 0; i < attack_count; ++i) {
    if (is_wanted(wanted, attacks[i].name)) {
      attacks[i].run();
      check_recovery(attacks[i].name);
      ++count;
    }
  }
  return count;
}

void guest_main(const struct boot_info* boot) {
  char wanted[32];
  uint32_t count = 0;
  print("GUEST-UP\n");
  if (!command_line_value(boot, "attack", wanted, sizeof wanted) || boot->slot_count < 2) {
    fail("needs attack=<name> on the command line and two drives");
  }
  virtio_bind(&target, &boot->slots[0], 0);
  virtio_bind(&witness, &boot->slots[1], 1);
  virtio_start(&target, HOSTILE_FEATURES);
  virtio_start(&witness, BLOCK_FEATURES);
  target_sum = read_first_sector(&target);
  witness_sum = read_first_sector(&witness);
  for (unsigned i = 0; i < kRingAttackCount; ++i) {
    if (is_wanted(wanted, kRingAttacks[i].name)) {
      run_ring_attack(&kRingAttacks[i]);
      check_recovery(kRingAttacks[i].name);
      ++count;
    }
  }
  count += run_free_attacks(wanted, kRegisterAttacks, kRegisterAttackCount);
  count += run_free_attacks(wanted, kFreeAttacks, kFreeAttackCount);
  if (count == 0) {
    fail("there is no attack called %s", wanted);
  }
  print("attacks: %u\n", count);
}
