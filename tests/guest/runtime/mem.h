// A virtio-mem driver (virtio 1.2 section 5.15).
#pragma once

#include "runtime/virtio.h"

#define VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE (1ULL << 1)
#define MEM_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)

enum mem_type { MEM_PLUG = 0, MEM_UNPLUG = 1, MEM_UNPLUG_ALL = 2, MEM_STATE = 3 };
enum mem_answer { MEM_ACK = 0, MEM_NACK = 1, MEM_BUSY = 2, MEM_ERROR = 3, MEM_NOTHING = 0xffff };
enum mem_config {
  MEM_CONFIG_BLOCK_SIZE = 0,
  MEM_CONFIG_ADDRESS = 16,
  MEM_CONFIG_REGION_SIZE = 24,
  MEM_CONFIG_USABLE_SIZE = 32,
  MEM_CONFIG_PLUGGED_SIZE = 40,
  MEM_CONFIG_REQUESTED_SIZE = 48,
};

struct __attribute__((packed)) mem_request {
  uint16_t type, padding[3];
  uint64_t address;
  uint16_t blocks, more_padding[3];
};
struct __attribute__((packed)) mem_response {
  uint16_t type, padding[3], state;
};
// The state of the last successful MEM_STATE request.
extern volatile struct mem_response mem_response;

void mem_start(struct virtio_device* mem, const struct boot_info* boot, unsigned ring);
enum mem_answer mem_ask(struct virtio_device* mem, enum mem_type type, uint64_t address, uint16_t blocks);
