#include "runtime/pmem.h"

void pmem_start(struct virtio_device* pmem, const struct boot_info* boot, unsigned nth, unsigned ring) {
  virtio_bind_queues(pmem, 1, virtio_find(boot, VIRTIO_ID_PMEM, nth), ring);
  virtio_start(pmem, VIRTIO_F_VERSION_1);
}

uint64_t pmem_address(const struct virtio_device* pmem) {
  return virtio_config64(pmem, 0);
}

uint64_t pmem_size(const struct virtio_device* pmem) {
  return virtio_config64(pmem, 8);
}

uint32_t pmem_flush(struct virtio_device* pmem) {
  static const uint32_t flush = 0;
  static volatile uint32_t result;
  result = ~0u;
  if (virtio_exchange(pmem, &flush, sizeof flush, (void*)&result, sizeof result) != sizeof result) {
    fail("pmem: a flush comes back without its result");
  }
  return result;
}
