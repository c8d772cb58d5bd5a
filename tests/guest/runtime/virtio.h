// A virtio-mmio driver from the driver's side: registers, status negotiation, split queues (virtio 1.2 sections 2.7,
// 4.2).
//
// A struct virtio_device is one queue of a device and the way to the device's registers; a device with several queues
// is an array of them. Everything that a hostile driver would want to change is in the open: the ring's memory is
// plain structures.
//
//   static struct virtio_device disk;
//   virtio_start(&disk, &boot->slots[0], VIRTIO_F_VERSION_1);   // reset .. DRIVER_OK, fails the guest when refused
//   virtio_offer(&disk, head);                                  // descriptor chain `head` is available
//   virtio_wait(&disk, &element);                               // polls the used ring
//
//   static struct virtio_device card[2];
//   virtio_bind_queues(card, 2, virtio_find(boot, VIRTIO_ID_NET, 0), first_ring);
//   virtio_start_queues(card, 2, wanted_features);
#pragma once

#include "runtime/guest.h"

enum { QUEUE_SIZE = 16, MAX_RINGS = 24 };
enum virtio_register {
  REG_MAGIC = 0x00,
  REG_VERSION = 0x04,
  REG_DEVICE_ID = 0x08,
  REG_DEVICE_FEATURES = 0x10,
  REG_DEVICE_FEATURES_SELECT = 0x14,
  REG_DRIVER_FEATURES = 0x20,
  REG_DRIVER_FEATURES_SELECT = 0x24,
  REG_QUEUE_SELECT = 0x30,
  REG_QUEUE_SIZE_MAX = 0x34,
  REG_QUEUE_SIZE = 0x38,
  REG_QUEUE_READY = 0x44,
  REG_QUEUE_NOTIFY = 0x50,
  REG_INTERRUPT_STATUS = 0x60,
  REG_INTERRUPT_ACK = 0x64,
  REG_STATUS = 0x70,
  REG_QUEUE_DESCRIPTORS = 0x80,
  REG_QUEUE_AVAILABLE = 0x90,
  REG_QUEUE_USED = 0xa0,
  REG_CONFIG_GENERATION = 0xfc,
  REG_CONFIG = 0x100,
};
enum virtio_status {
  STATUS_ACKNOWLEDGE = 1,
  STATUS_DRIVER = 2,
  STATUS_DRIVER_OK = 4,
  STATUS_FEATURES_OK = 8,
  STATUS_NEEDS_RESET = 0x40,
  STATUS_FAILED = 0x80,
};
enum descriptor_flags { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4 };
enum virtio_id {
  VIRTIO_ID_NET = 1,
  VIRTIO_ID_BLOCK = 2,
  VIRTIO_ID_RNG = 4,
  VIRTIO_ID_BALLOON = 5,
  VIRTIO_ID_VSOCK = 19,
  VIRTIO_ID_MEM = 24,
  VIRTIO_ID_PMEM = 27,
};

#define VIRTIO_F_INDIRECT_DESC (1ULL << 28)
#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
struct available_ring {
  uint16_t flags, index, ring[QUEUE_SIZE], used_event;
};
struct used_element {
  uint32_t id, length;
};
struct used_ring {
  uint16_t flags, index;
  struct used_element ring[QUEUE_SIZE];
  uint16_t available_event;
};

struct virtio_device {
  uint64_t base;
  uint32_t interrupt;
  uint64_t features;  // negotiated
  uint16_t queue;     // which of the device's queues the rings below are
  uint16_t last_used;
  volatile struct descriptor* descriptors;
  volatile struct available_ring* available;
  volatile struct used_ring* used;
};

uint32_t virtio_read(const struct virtio_device* device, enum virtio_register reg);
void virtio_write(const struct virtio_device* device, enum virtio_register reg, uint32_t value);

// The slot of the `nth` device with this id; null when there is none.
const struct virtio_slot* virtio_find(const struct boot_info* boot, enum virtio_id id, unsigned nth);
// Binds a device structure to a slot, gives it its own ring memory (`ring_number` below MAX_RINGS) and resets it.
void virtio_bind(struct virtio_device* device, const struct virtio_slot* slot, unsigned ring_number);
// The same for a device with `count` queues, which take ring memory from `first_ring` on. Fails without a slot.
void virtio_bind_queues(struct virtio_device* queues, unsigned count, const struct virtio_slot* slot,
                        unsigned first_ring);
uint64_t virtio_offered_features(const struct virtio_device* device);
// Status up to FEATURES_OK with these features; 0 when the device refuses them.
int virtio_negotiate(struct virtio_device* device, uint64_t features);
// Tells the device where the queue is and makes it ready.
void virtio_set_up_queue(struct virtio_device* device);
// The same for rings whose physical address is `distance` beyond where the guest sees them.
void virtio_set_up_queue_at(struct virtio_device* device, uint64_t distance);
// Reset, negotiate what is both offered and wanted, set the queue up, DRIVER_OK. Fails the guest when refused.
void virtio_start(struct virtio_device* device, uint64_t wanted_features);
void virtio_start_queues(struct virtio_device* queues, unsigned count, uint64_t wanted_features);
// Wanted in addition by every start; for guests that use another device's driver in a way of their own.
extern uint64_t virtio_extra_features;
void virtio_reset(struct virtio_device* device);

// Makes a chain available; virtio_offer() also notifies the device.
void virtio_push(struct virtio_device* device, uint16_t head);
void virtio_offer(struct virtio_device* device, uint16_t head);
void virtio_notify(const struct virtio_device* device);
// The next used element; 0 when there is none yet. Looks at memory only.
int virtio_take(struct virtio_device* device, struct used_element* element);

enum wait_result { WAIT_USED, WAIT_NEEDS_RESET, WAIT_TIMEOUT };
// Polls until a buffer comes back, the device asks for a reset, or too much time has passed.
enum wait_result virtio_wait(struct virtio_device* device, struct used_element* element);
// Offers the chain at `head` and waits for it; fails the guest when it does not come back. Returns the used length.
uint32_t virtio_request(struct virtio_device* device, uint16_t head);
// A request of one readable and one writable part, either of which may be empty (null, 0), in descriptors 0 and 1.
// virtio_exchange() offers it and waits; returns the used length.
void virtio_lay_out(struct virtio_device* device, const void* readable, uint32_t readable_size, void* writable,
                    uint32_t writable_size);
uint32_t virtio_exchange(struct virtio_device* device, const void* readable, uint32_t readable_size, void* writable,
                         uint32_t writable_size);
// Reads of the device's configuration space.
uint16_t virtio_config16(const struct virtio_device* device, uint32_t offset);
uint32_t virtio_config32(const struct virtio_device* device, uint32_t offset);
uint64_t virtio_config64(const struct virtio_device* device, uint32_t offset);
