// A virtio-net driver on top of runtime/virtio.h (virtio 1.2 section 5.1): polled, one frame at a time.
//
//   static struct net_card card;
//   net_start(&card, boot, 0, NET_BASIC_FEATURES | VIRTIO_NET_F_MRG_RXBUF, 4096);
//   net_post(&card);
//   if (net_receive(&card, &frame)) { ...; net_forward(&card, &frame); net_release(&card, &frame); }
#pragma once

#include "runtime/virtio.h"

#define VIRTIO_NET_F_CSUM (1ULL << 0)
#define VIRTIO_NET_F_GUEST_CSUM (1ULL << 1)
#define VIRTIO_NET_F_MAC (1ULL << 5)
#define VIRTIO_NET_F_GUEST_TSO4 (1ULL << 7)
#define VIRTIO_NET_F_GUEST_TSO6 (1ULL << 8)
#define VIRTIO_NET_F_HOST_TSO4 (1ULL << 11)
#define VIRTIO_NET_F_HOST_TSO6 (1ULL << 12)
#define VIRTIO_NET_F_MRG_RXBUF (1ULL << 15)
#define VIRTIO_NET_F_GUEST_USO4 (1ULL << 54)
#define VIRTIO_NET_F_HOST_USO (1ULL << 56)
#define NET_BASIC_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MAC)
#define VIRTIO_NET_F_GUEST_USO6 (1ULL << 55)
// Linux's TAP segments UDP only when both versions of IP may (drivers/net/tun.c).
#define NET_OFFLOADS                                                                                      \
  (VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_HOST_TSO4 |       \
   VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6 | \
   VIRTIO_NET_F_HOST_USO)

enum { NET_HEADER_SIZE = 12, NET_MAX_BUFFER = 68 * 1024, NET_RX = 0, NET_TX = 1, MAC_SIZE = 6 };

struct __attribute__((packed)) net_header {
  uint8_t flags, gso_type;
  uint16_t header_length, gso_size, checksum_start, checksum_offset, buffer_count;
};

struct net_card {
  struct virtio_device queues[2];
  uint32_t buffer_size;
  uint8_t mac[MAC_SIZE];
};

// A received frame lies in the buffers `ids[0..count)`, the header at the start of the first.
struct net_frame {
  uint32_t count, size;  // bytes of all buffers, header included
  uint16_t ids[QUEUE_SIZE];
  uint32_t lengths[QUEUE_SIZE];
  uint8_t* start;
};

// Starts the `nth` card; `ring` and ring+1 are its ring memory. There is one set of receive buffers in the guest.
void net_start(struct net_card* card, const struct boot_info* boot, unsigned nth, unsigned ring, uint64_t features,
               uint32_t buffer_size);
// Gives every receive buffer to the device.
void net_post(struct net_card* card);
// 0 when no frame is there.
int net_receive(struct net_card* card, struct net_frame* frame);
// Waits; fails the guest when none comes.
void net_await(struct net_card* card, struct net_frame* frame);
void net_release(struct net_card* card, const struct net_frame* frame);
// Sends what a received frame's buffers hold, in place, and waits until the device has taken it.
void net_forward(struct net_card* card, const struct net_frame* frame);
// Sends `size` bytes, header included.
void net_send(struct net_card* card, const void* data, uint32_t size);
