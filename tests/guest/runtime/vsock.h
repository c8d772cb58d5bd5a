// A virtio-vsock driver on top of runtime/virtio.h (virtio 1.2 section 5.10): packets, not sockets; polled.
#pragma once

#include "runtime/virtio.h"

enum { VSOCK_RX = 0, VSOCK_TX = 1, VSOCK_EVENT = 2, VSOCK_QUEUES = 3 };
enum { VSOCK_PAYLOAD = 4096, VSOCK_HOST_CID = 2, VSOCK_TYPE_STREAM = 1, VSOCK_SHUT_RECEIVE = 1, VSOCK_SHUT_SEND = 2 };
enum vsock_operation {
  VSOCK_REQUEST = 1,
  VSOCK_RESPONSE = 2,
  VSOCK_RESET = 3,
  VSOCK_SHUTDOWN = 4,
  VSOCK_DATA = 5,
  VSOCK_CREDIT_UPDATE = 6,
  VSOCK_CREDIT_REQUEST = 7,
};

struct __attribute__((packed)) vsock_header {
  uint64_t source_cid, target_cid;
  uint32_t source_port, target_port, length;
  uint16_t type, operation;
  uint32_t flags, buffer_size, forwarded;
};

enum { VSOCK_EVENT_TRANSPORT_RESET = 0 };

struct vsock {
  struct virtio_device queues[VSOCK_QUEUES];
  uint64_t cid;
  uint32_t resets;  // how often all connections were lost
};

struct vsock_packet {
  uint16_t id;
  const struct vsock_header* header;
  const uint8_t* payload;
};

// Starts the device and posts all receive buffers and one for events; takes three sets of ring memory from `ring` on.
void vsock_start(struct vsock* vsock, const struct boot_info* boot, unsigned ring);
// 0 when no packet is there. The packet is the driver's until it is released.
int vsock_receive(struct vsock* vsock, struct vsock_packet* packet);
void vsock_release(struct vsock* vsock, const struct vsock_packet* packet);
// Fills in cids and type, sends, waits until the device has taken it.
void vsock_send(struct vsock* vsock, struct vsock_header header, const void* payload);
