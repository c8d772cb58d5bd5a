// A virtio persistent memory driver (virtio 1.2 section 5.19).
#pragma once

#include "runtime/virtio.h"

void pmem_start(struct virtio_device* pmem, const struct boot_info* boot, unsigned nth, unsigned ring);
uint64_t pmem_address(const struct virtio_device* pmem);
uint64_t pmem_size(const struct virtio_device* pmem);
// The device's answer to a flush: 0 for success.
uint32_t pmem_flush(struct virtio_device* pmem);
