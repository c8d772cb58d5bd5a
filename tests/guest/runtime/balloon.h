// A virtio balloon driver (virtio 1.2 section 5.5): all five queues, polled.
#pragma once

#include "runtime/virtio.h"

#define VIRTIO_BALLOON_F_STATS_VQ (1ULL << 1)
#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM (1ULL << 2)
#define VIRTIO_BALLOON_F_FREE_PAGE_HINT (1ULL << 3)
#define VIRTIO_BALLOON_F_REPORTING (1ULL << 5)
#define BALLOON_FEATURES                                                              \
  (VIRTIO_F_VERSION_1 | VIRTIO_BALLOON_F_STATS_VQ | VIRTIO_BALLOON_F_DEFLATE_ON_OOM | \
   VIRTIO_BALLOON_F_FREE_PAGE_HINT | VIRTIO_BALLOON_F_REPORTING)

// With all features; the device numbers its queues without gaps.
enum { BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATISTICS, BALLOON_HINTING, BALLOON_REPORTING, BALLOON_QUEUES };
enum { BALLOON_CONFIG_TARGET = 0, BALLOON_CONFIG_ACTUAL = 4, BALLOON_CONFIG_HINT = 8, BALLOON_PAGE = 4096 };
enum { BALLOON_LIST = 256, HINT_STOP = 0, HINT_DONE = 1 };

struct __attribute__((packed)) balloon_statistic {
  uint16_t tag;
  uint64_t value;
};

// Needs a device with statistics, hinting and reporting; takes five sets of ring memory from `ring` on.
void balloon_start(struct virtio_device* balloon, const struct boot_info* boot, unsigned ring);
// The same for a device that offers less; the queues that it has come first.
void balloon_start_offered(struct virtio_device* balloon, const struct boot_info* boot, unsigned ring);
// Sends the page frames of [start, start + pages * 4 KiB) through the inflate or deflate queue and adds to `actual`.
void balloon_inflate(struct virtio_device* balloon, uint64_t start, uint32_t pages);
void balloon_deflate(struct virtio_device* balloon, uint64_t start, uint32_t pages);
// A free range through the hinting or reporting queue.
void balloon_give_range(struct virtio_device* queue, uint64_t start, uint32_t size);
