#include "runtime/virtio.h"

enum { MAX_RINGS = 8 };

// Each structure on its own page, so that a device that strays writes where a check can see it.
static struct __attribute__((aligned(4096))) {
  struct descriptor descriptors[QUEUE_SIZE] __attribute__((aligned(4096)));
  struct available_ring available __attribute__((aligned(4096)));
  struct used_ring used __attribute__((aligned(4096)));
} rings[MAX_RINGS];

uint32_t virtio_read(const struct virtio_device* device, enum virtio_register reg) {
  return load32(device->base + reg);
}

void virtio_write(const struct virtio_device* device, enum virtio_register reg, uint32_t value) {
  store32(device->base + reg, value);
}

static void write_address(const struct virtio_device* device, enum virtio_register reg, volatile const void* target) {
  const uint64_t address = (uint64_t)target;
  store32(device->base + reg, (uint32_t)address);
  store32(device->base + reg + 4, (uint32_t)(address >> 32));
}

void virtio_bind(struct virtio_device* device, const struct virtio_slot* slot, unsigned ring_number) {
  device->base = slot->base;
  device->interrupt = slot->interrupt;
  device->descriptors = rings[ring_number].descriptors;
  device->available = &rings[ring_number].available;
  device->used = &rings[ring_number].used;
  if (virtio_read(device, REG_MAGIC) != 0x74726976 || virtio_read(device, REG_VERSION) != 2) {
    fail("no virtio-mmio version 2 device at 0x%x", slot->base);
  }
  virtio_reset(device);
}

uint64_t virtio_offered_features(const struct virtio_device* device) {
  virtio_write(device, REG_DEVICE_FEATURES_SELECT, 0);
  const uint64_t low = virtio_read(device, REG_DEVICE_FEATURES);
  virtio_write(device, REG_DEVICE_FEATURES_SELECT, 1);
  return ((uint64_t)virtio_read(device, REG_DEVICE_FEATURES) << 32) | low;
}

void virtio_reset(struct virtio_device* device) {
  const struct deadline deadline = deadline_start();
  virtio_write(device, REG_STATUS, 0);
  while (virtio_read(device, REG_STATUS) != 0) {
    if (deadline_passed(&deadline)) {
      fail("the device at 0x%x does not finish its reset", device->base);
    }
  }
}

int virtio_negotiate(struct virtio_device* device, uint64_t features) {
  virtio_write(device, REG_STATUS, STATUS_ACKNOWLEDGE);
  virtio_write(device, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  virtio_write(device, REG_DRIVER_FEATURES_SELECT, 0);
  virtio_write(device, REG_DRIVER_FEATURES, (uint32_t)features);
  virtio_write(device, REG_DRIVER_FEATURES_SELECT, 1);
  virtio_write(device, REG_DRIVER_FEATURES, (uint32_t)(features >> 32));
  virtio_write(device, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
  device->features = features;
  return (virtio_read(device, REG_STATUS) & STATUS_FEATURES_OK) != 0;
}

void virtio_set_up_queue(struct virtio_device* device) {
  memset((void*)device->descriptors, 0, sizeof(struct descriptor) * QUEUE_SIZE);
  memset((void*)device->available, 0, sizeof *device->available);
  memset((void*)device->used, 0, sizeof *device->used);
  device->last_used = 0;
  virtio_write(device, REG_QUEUE_SELECT, 0);
  if (virtio_read(device, REG_QUEUE_READY) != 0 || virtio_read(device, REG_QUEUE_SIZE_MAX) < QUEUE_SIZE) {
    fail("queue 0 at 0x%x is in use after a reset, or smaller than %u", device->base, (uint32_t)QUEUE_SIZE);
  }
  virtio_write(device, REG_QUEUE_SIZE, QUEUE_SIZE);
  write_address(device, REG_QUEUE_DESCRIPTORS, device->descriptors);
  write_address(device, REG_QUEUE_AVAILABLE, device->available);
  write_address(device, REG_QUEUE_USED, device->used);
  virtio_write(device, REG_QUEUE_READY, 1);
}

void virtio_start(struct virtio_device* device, uint64_t wanted_features) {
  virtio_reset(device);
  if (!virtio_negotiate(device, virtio_offered_features(device) & wanted_features)) {
    fail("the device at 0x%x refuses features that it offers", device->base);
  }
  virtio_set_up_queue(device);
  virtio_write(device, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
  if ((virtio_read(device, REG_STATUS) & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) != STATUS_DRIVER_OK) {
    fail("the device at 0x%x does not start: status %u", device->base, virtio_read(device, REG_STATUS));
  }
}

void virtio_notify(const struct virtio_device* device) {
  virtio_write(device, REG_QUEUE_NOTIFY, 0);
}

void virtio_offer(struct virtio_device* device, uint16_t head) {
  const uint16_t index = device->available->index;
  device->available->ring[index % QUEUE_SIZE] = head;
  full_barrier();  // the entry before the index (virtio 1.2 section 2.7.13.3)
  device->available->index = (uint16_t)(index + 1);
  full_barrier();  // the index before the notification
  virtio_notify(device);
}

enum wait_result virtio_wait(struct virtio_device* device, struct used_element* element) {
  const struct deadline deadline = deadline_start();
  for (;;) {
    if (device->used->index != device->last_used) {
      full_barrier();  // the index before the element
      *element = device->used->ring[device->last_used % QUEUE_SIZE];
      device->last_used = (uint16_t)(device->last_used + 1);
      return WAIT_USED;
    }
    if ((virtio_read(device, REG_STATUS) & STATUS_NEEDS_RESET) != 0) {
      return WAIT_NEEDS_RESET;
    }
    if (deadline_passed(&deadline)) {
      return WAIT_TIMEOUT;
    }
  }
}
