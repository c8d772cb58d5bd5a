#include "runtime/block.h"

volatile struct block_header block_header;
volatile uint8_t block_status;

uint64_t block_capacity(const struct virtio_device* device) {
  return load32(device->base + REG_CONFIG) | ((uint64_t)load32(device->base + REG_CONFIG + 4) << 32);
}

static int device_writes_data(enum block_operation operation) {
  return operation == BLOCK_IN || operation == BLOCK_GET_ID;
}

void block_prepare(struct virtio_device* device, enum block_operation operation, uint64_t sector, void* data,
                   uint32_t size) {
  volatile struct descriptor* chain = device->descriptors;
  const uint16_t status_at = size != 0 ? 2 : 1;
  block_header.operation = operation;
  block_header.reserved = 0;
  block_header.sector = sector;
  block_status = BLOCK_UNTOUCHED;
  chain[0] = (struct descriptor){(uint64_t)&block_header, sizeof block_header, DESCRIPTOR_NEXT, 1};
  if (size != 0) {
    const uint16_t direction = device_writes_data(operation) ? DESCRIPTOR_WRITE : 0;
    chain[1] = (struct descriptor){(uint64_t)data, size, (uint16_t)(DESCRIPTOR_NEXT | direction), 2};
  }
  chain[status_at] = (struct descriptor){(uint64_t)&block_status, 1, DESCRIPTOR_WRITE, 0};
}

uint8_t block_request(struct virtio_device* device, enum block_operation operation, uint64_t sector, void* data,
                      uint32_t size) {
  struct used_element element;
  block_prepare(device, operation, sector, data, size);
  virtio_offer(device, 0);
  switch (virtio_wait(device, &element)) {
    case WAIT_USED: break;
    case WAIT_NEEDS_RESET: fail("the device at 0x%x breaks on a good request", device->base);
    case WAIT_TIMEOUT: fail("the device at 0x%x does not answer", device->base);
  }
  const uint32_t due = 1 + (device_writes_data(operation) ? size : 0);
  if (element.id != 0 || (block_status == BLOCK_OK && element.length != due)) {
    fail("the device at 0x%x returns buffer %u with %u bytes", device->base, element.id, element.length);
  }
  return block_status;
}

uint32_t block_sum(const void* data, uint32_t size) {
  const uint8_t* bytes = data;
  uint32_t plain = 1, weighted = 0;
  for (uint32_t i = 0; i < size; ++i) {
    plain += bytes[i];
    weighted += plain;
  }
  return (weighted << 16) ^ plain;
}
