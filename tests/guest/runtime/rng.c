#include "runtime/rng.h"

void rng_start(struct virtio_device* rng, const struct boot_info* boot, unsigned ring) {
  virtio_bind_queues(rng, 1, virtio_find(boot, VIRTIO_ID_RNG, 0), ring);
  virtio_start(rng, VIRTIO_F_VERSION_1);
}

uint32_t rng_fill(struct virtio_device* rng, void* data, uint32_t size) {
  return virtio_exchange(rng, 0, 0, data, size);
}
