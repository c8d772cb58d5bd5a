#include "runtime/virtio.h"

enum { LOOKS_PER_STATUS_READ = 32 };  // a register costs more than a look at memory

// Each structure on its own page, so that a device that strays writes where a check can see it.
static struct __attribute__((aligned(4096))) {
  struct descriptor descriptors[QUEUE_SIZE] __attribute__((aligned(4096)));
  struct available_ring available __attribute__((aligned(4096)));
  struct used_ring used __attribute__((aligned(4096)));
} rings[MAX_RINGS];

uint64_t virtio_extra_features;

uint32_t virtio_read(const struct virtio_device* device, enum virtio_register reg) {
  return load32(device->base + reg);
}

void virtio_write(const struct virtio_device* device, enum virtio_register reg, uint32_t value) {
  store32(device->base + reg, value);
}

static void write_address(const struct virtio_device* device, enum virtio_register reg, uint64_t address) {
  store32(device->base + reg, (uint32_t)address);
  store32(device->base + reg + 4, (uint32_t)(address >> 32));
}

void virtio_bind(struct virtio_device* device, const struct virtio_slot* slot, unsigned ring_number) {
  device->base = slot->base;
  device->interrupt = slot->interrupt;
  device->queue = 0;
  device->descriptors = rings[ring_number].descriptors;
  device->available = &rings[ring_number].available;
  device->used = &rings[ring_number].used;
  if (virtio_read(device, REG_MAGIC) != 0x74726976 || virtio_read(device, REG_VERSION) != 2) {
    fail("no virtio-mmio version 2 device at 0x%x", slot->base);
  }
  virtio_reset(device);
}

const struct virtio_slot* virtio_find(const struct boot_info* boot, enum virtio_id id, unsigned nth) {
  for (unsigned i = 0; i < boot->slot_count; ++i) {
    if (load32(boot->slots[i].base + REG_DEVICE_ID) == id && nth-- == 0) {
      return &boot->slots[i];
    }
  }
  return 0;
}

void virtio_bind_queues(struct virtio_device* queues, unsigned count, const struct virtio_slot* slot,
                        unsigned first_ring) {
  if (slot == 0 || first_ring + count > MAX_RINGS) {
    fail("a device is missing");
  }
  for (unsigned i = 0; i < count; ++i) {
    virtio_bind(&queues[i], slot, first_ring + i);
    queues[i].queue = (uint16_t)i;
  }
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

void virtio_set_up_queue_at(struct virtio_device* device, uint64_t distance) {
  memset((void*)device->descriptors, 0, sizeof(struct descriptor) * QUEUE_SIZE);
  memset((void*)device->available, 0, sizeof *device->available);
  memset((void*)device->used, 0, sizeof *device->used);
  device->last_used = 0;
  virtio_write(device, REG_QUEUE_SELECT, device->queue);
  if (virtio_read(device, REG_QUEUE_READY) != 0 || virtio_read(device, REG_QUEUE_SIZE_MAX) < QUEUE_SIZE) {
    fail("queue %u at 0x%x is in use after a reset, or smaller than %u", (uint32_t)device->queue, device->base,
         (uint32_t)QUEUE_SIZE);
  }
  virtio_write(device, REG_QUEUE_SIZE, QUEUE_SIZE);
  write_address(device, REG_QUEUE_DESCRIPTORS, (uint64_t)device->descriptors + distance);
  write_address(device, REG_QUEUE_AVAILABLE, (uint64_t)device->available + distance);
  write_address(device, REG_QUEUE_USED, (uint64_t)device->used + distance);
  virtio_write(device, REG_QUEUE_READY, 1);
}

void virtio_set_up_queue(struct virtio_device* device) {
  virtio_set_up_queue_at(device, 0);
}

void virtio_start_queues(struct virtio_device* queues, unsigned count, uint64_t wanted_features) {
  struct virtio_device* device = &queues[0];
  virtio_reset(device);
  if (!virtio_negotiate(device, virtio_offered_features(device) & (wanted_features | virtio_extra_features))) {
    fail("the device at 0x%x refuses features that it offers", device->base);
  }
  for (unsigned i = 0; i < count; ++i) {
    queues[i].features = device->features;
    virtio_set_up_queue(&queues[i]);
  }
  virtio_write(device, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
  if ((virtio_read(device, REG_STATUS) & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) != STATUS_DRIVER_OK) {
    fail("the device at 0x%x does not start: status %u", device->base, virtio_read(device, REG_STATUS));
  }
}

void virtio_start(struct virtio_device* device, uint64_t wanted_features) {
  virtio_start_queues(device, 1, wanted_features);
}

void virtio_notify(const struct virtio_device* device) {
  virtio_write(device, REG_QUEUE_NOTIFY, device->queue);
}

void virtio_push(struct virtio_device* device, uint16_t head) {
  const uint16_t index = device->available->index;
  device->available->ring[index % QUEUE_SIZE] = head;
  full_barrier();  // the entry before the index (virtio 1.2 section 2.7.13.3)
  device->available->index = (uint16_t)(index + 1);
  full_barrier();  // the index before the notification
}

void virtio_offer(struct virtio_device* device, uint16_t head) {
  virtio_push(device, head);
  virtio_notify(device);
}

int virtio_take(struct virtio_device* device, struct used_element* element) {
  if (device->used->index == device->last_used) {
    return 0;
  }
  full_barrier();  // the index before the element
  *element = device->used->ring[device->last_used % QUEUE_SIZE];
  device->last_used = (uint16_t)(device->last_used + 1);
  return 1;
}

enum wait_result virtio_wait(struct virtio_device* device, struct used_element* element) {
  const struct deadline deadline = deadline_start();
  for (;;) {
    for (unsigned look = 0; look < LOOKS_PER_STATUS_READ; ++look) {
      if (virtio_take(device, element)) {
        return WAIT_USED;
      }
      relax();
    }
    if ((virtio_read(device, REG_STATUS) & STATUS_NEEDS_RESET) != 0) {
      return WAIT_NEEDS_RESET;
    }
    if (deadline_passed(&deadline)) {
      return WAIT_TIMEOUT;
    }
  }
}

uint32_t virtio_request(struct virtio_device* device, uint16_t head) {
  struct used_element element;
  virtio_offer(device, head);
  switch (virtio_wait(device, &element)) {
    case WAIT_USED: break;
    case WAIT_NEEDS_RESET: fail("queue %u at 0x%x breaks on a good request", (uint32_t)device->queue, device->base);
    case WAIT_TIMEOUT: fail("queue %u at 0x%x does not answer", (uint32_t)device->queue, device->base);
  }
  if (element.id != head) {
    fail("queue %u at 0x%x returns buffer %u", (uint32_t)device->queue, device->base, element.id);
  }
  return element.length;
}

void virtio_lay_out(struct virtio_device* device, const void* readable, uint32_t readable_size, void* writable,
                    uint32_t writable_size) {
  volatile struct descriptor* chain = device->descriptors;
  const struct descriptor last = {(uint64_t)writable, writable_size, DESCRIPTOR_WRITE, 0};
  chain[0] = last;
  if (readable_size != 0) {
    const uint16_t flags = writable_size != 0 ? DESCRIPTOR_NEXT : 0;
    chain[0] = (struct descriptor){(uint64_t)readable, readable_size, flags, 1};
    chain[1] = last;
  }
}

uint32_t virtio_exchange(struct virtio_device* device, const void* readable, uint32_t readable_size, void* writable,
                         uint32_t writable_size) {
  virtio_lay_out(device, readable, readable_size, writable, writable_size);
  return virtio_request(device, 0);
}

uint16_t virtio_config16(const struct virtio_device* device, uint32_t offset) {
  return load16(device->base + REG_CONFIG + offset);
}

uint32_t virtio_config32(const struct virtio_device* device, uint32_t offset) {
  return load32(device->base + REG_CONFIG + offset);
}

uint64_t virtio_config64(const struct virtio_device* device, uint32_t offset) {
  return virtio_config32(device, offset) | ((uint64_t)virtio_config32(device, offset + 4) << 32);
}
