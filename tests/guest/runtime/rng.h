// A virtio entropy driver (virtio 1.2 section 5.4).
#pragma once

#include "runtime/virtio.h"

void rng_start(struct virtio_device* rng, const struct boot_info* boot, unsigned ring);
// Asks for `size` random bytes; returns how many came.
uint32_t rng_fill(struct virtio_device* rng, void* data, uint32_t size);
