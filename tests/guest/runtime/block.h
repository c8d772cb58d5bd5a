// A virtio-blk driver on top of runtime/virtio.h (virtio 1.2 section 5.2): one request at a time, polled.
#pragma once

#include "runtime/virtio.h"

enum { SECTOR_SIZE = 512, BLOCK_ID_SIZE = 20 };
enum block_operation { BLOCK_IN = 0, BLOCK_OUT = 1, BLOCK_FLUSH = 4, BLOCK_GET_ID = 8 };
enum block_status { BLOCK_OK = 0, BLOCK_IO_ERROR = 1, BLOCK_UNSUPPORTED = 2, BLOCK_UNTOUCHED = 0xee };

#define VIRTIO_BLK_F_RO (1ULL << 5)
#define VIRTIO_BLK_F_FLUSH (1ULL << 9)
#define BLOCK_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_FLUSH)

struct block_header {
  uint32_t operation, reserved;
  uint64_t sector;
};

// The header and status byte of the request being made, where attacks can reach them.
extern volatile struct block_header block_header;
extern volatile uint8_t block_status;

uint64_t block_capacity(const struct virtio_device* device);
// Lays a request out in descriptors 0, 1 and 2 (two for a request without data) without offering it.
void block_prepare(struct virtio_device* device, enum block_operation operation, uint64_t sector, void* data,
                   uint32_t size);
// Prepares, offers, waits. Returns the status byte; fails the guest when the device breaks or does not answer.
uint8_t block_request(struct virtio_device* device, enum block_operation operation, uint64_t sector, void* data,
                      uint32_t size);
// A sum that depends on the order of the bytes (Adler-32 without the reduction): the host computes the same.
uint32_t block_sum(const void* data, uint32_t size);
