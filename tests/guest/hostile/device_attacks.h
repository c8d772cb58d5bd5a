// Attacks of hostile_devices: on any queue, and on one device's own requests.
#pragma once

#include "hostile/victims.h"

// What must be seen in the time limit. Whatever it is, the device must work after a reset, and all others all along.
enum outcome {
  QUEUE_BROKEN,  // DEVICE_NEEDS_RESET and no answer
  BUFFER_BACK,   // the buffer comes back and the ring is good
  ANSWERED,      // one of the two
  ANYTHING,      // silence too: the attack has destroyed what an answer would be seen by
};

struct queue_attack {
  const char* name;
  enum outcome due;
  void (*spoil)(struct virtio_device* queue);
  uint16_t head;
};
extern const struct queue_attack kQueueAttacks[];
extern const unsigned kQueueAttackCount;

// A malformed request that is laid out in descriptor 0 and on; the device is started and its queues are empty. The used
// length must not be more than `most`, and what is written must begin with `answer`.
struct request_attack {
  const char* device;
  unsigned queue;
  const char* name;
  enum outcome due;
  uint32_t most;
  void (*lay_out)(struct virtio_device* queue);
  uint16_t answer;  // 0: not looked at
};
extern const struct request_attack kRequestAttacks[];
extern const unsigned kRequestAttackCount;

// Where the guest's memory below the gap ends.
uint64_t memory_end(void);
