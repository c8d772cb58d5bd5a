// What the hostile guest's parts share: the drive that is attacked, a good request's buffer, and the shape of an
// attack.
#pragma once

#include "runtime/block.h"

enum { DATA_SIZE = 8 * SECTOR_SIZE };
#define HOSTILE_FEATURES (BLOCK_FEATURES | VIRTIO_F_INDIRECT_DESC)

extern struct virtio_device target;
extern uint64_t target_features;  // that the target's driver must accept at least
extern uint64_t hotplug_region;   // where memory could be plugged; 0: unknown
extern uint8_t data[DATA_SIZE];

// How a ring attack may end. Whatever happens, the device must come back after a reset and the other drive must work.
enum ending {
  END_NEEDS_RESET,  // the ring is broken: DEVICE_NEEDS_RESET and no answer
  END_ERROR,        // the buffer is bad, the ring is good: returned, and not with success
  END_ANY,          // the specification leaves it open: an answer or DEVICE_NEEDS_RESET, within the time limit
};

// Changes one thing about a good read request that is laid out in descriptors 0 to 2.
struct ring_attack {
  const char* name;
  enum ending due;
  void (*spoil)(void);
  uint16_t head;  // offered as the chain's first descriptor
};
extern const struct ring_attack kRingAttacks[];
extern const unsigned kRingAttackCount;

// Does everything itself; leaves the device in any state.
struct free_attack {
  const char* name;
  void (*run)(void);
};
extern const struct free_attack kFreeAttacks[];
extern const unsigned kFreeAttackCount;
// On any device.
extern const struct free_attack kRegisterAttacks[];
extern const unsigned kRegisterAttackCount;

// All widths at one address.
void read_every_way(uint64_t address);
void write_every_way(uint64_t address, uint64_t value);
