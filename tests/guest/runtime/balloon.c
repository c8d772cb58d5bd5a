#include "runtime/balloon.h"

static uint32_t frames[BALLOON_LIST];

void balloon_start(struct virtio_device* balloon, const struct boot_info* boot, unsigned ring) {
  const uint64_t wanted = BALLOON_FEATURES & ~VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
  balloon_start_offered(balloon, boot, ring);
  if ((balloon->features & wanted) != wanted) {
    fail("balloon: offers only 0x%x", balloon->features);
  }
}

void balloon_start_offered(struct virtio_device* balloon, const struct boot_info* boot, unsigned ring) {
  virtio_bind_queues(balloon, BALLOON_QUEUES, virtio_find(boot, VIRTIO_ID_BALLOON, 0), ring);
  const uint64_t offered = virtio_offered_features(balloon);
  const unsigned queues = 2 + ((offered & VIRTIO_BALLOON_F_STATS_VQ) != 0) +
                          ((offered & VIRTIO_BALLOON_F_FREE_PAGE_HINT) != 0) +
                          ((offered & VIRTIO_BALLOON_F_REPORTING) != 0);
  virtio_start_queues(balloon, queues, BALLOON_FEATURES);
}

static void send_frames(struct virtio_device* queue, uint64_t start, uint32_t pages) {
  for (uint32_t done = 0; done < pages;) {
    uint32_t count = 0;
    for (; count < BALLOON_LIST && done < pages; ++count, ++done) {
      frames[count] = (uint32_t)(start / BALLOON_PAGE) + done;
    }
    virtio_exchange(queue, frames, count * sizeof frames[0], 0, 0);
  }
}

static void add_to_actual(struct virtio_device* balloon, uint32_t pages) {
  const uint32_t actual = virtio_config32(balloon, BALLOON_CONFIG_ACTUAL);
  store32(balloon->base + REG_CONFIG + BALLOON_CONFIG_ACTUAL, actual + pages);
}

void balloon_inflate(struct virtio_device* balloon, uint64_t start, uint32_t pages) {
  send_frames(&balloon[BALLOON_INFLATE], start, pages);
  add_to_actual(balloon, pages);
}

void balloon_deflate(struct virtio_device* balloon, uint64_t start, uint32_t pages) {
  send_frames(&balloon[BALLOON_DEFLATE], start, pages);
  add_to_actual(balloon, 0 - pages);
}

void balloon_give_range(struct virtio_device* queue, uint64_t start, uint32_t size) {
  virtio_exchange(queue, 0, 0, (void*)start, size);
}
