// The devices that hostile_devices attacks, each with what makes it work and one good request for each of its queues.
#pragma once

#include "hostile/hostile.h"

enum { MAX_VICTIM_QUEUES = 5, REQUEST_ROOM = 4096 };

// A good request of one queue. Both parts lie in `area`, so that a check can see what a device does beside them.
struct good_request {
  const char* queue;
  uint32_t readable, writable;  // sizes in bytes
  void (*fill)(uint8_t* readable);
  // Makes the device look at a queue that it uses by its own decision; null: a notification is enough.
  void (*stimulate)(void);
  // Not looked at as long as the machine is not restored from a snapshot.
  int is_dormant;
};

struct victim {
  const char* name;
  enum virtio_id id;
  uint64_t features;
  unsigned queue_count;
  struct virtio_device* queues;
  const struct good_request requests[MAX_VICTIM_QUEUES];
  // Starts the device anew and uses it as a good driver does; fails the guest when it does not work.
  void (*check_works)(void);
};

extern const struct victim kVictims[];
extern const unsigned kVictimCount;
// The boot information, for drivers that look for their device.
extern const struct boot_info* victim_boot;

extern struct __attribute__((aligned(4096))) request_area {
  uint8_t before[REQUEST_ROOM], readable[REQUEST_ROOM], between[REQUEST_ROOM], writable[REQUEST_ROOM],
      after[REQUEST_ROOM];
} request_area;

// Resets the device and starts it with empty queues.
void victim_start(const struct victim* victim);
// The good request in descriptors 0, 1 and 2 of the queue (virtio 1.2 section 2.7.4: framing means nothing).
void victim_lay_out(struct virtio_device* queue, const struct good_request* request);

// What device_requests.c needs of single devices.
void net_ask_service(void);  // an ARP request to the metadata service, by the transmit queue
extern struct virtio_device victim_net[], victim_vsock[], victim_rng[], victim_balloon[], victim_pmem[], victim_mem[];
