#include "runtime/net.h"

static uint8_t buffers[QUEUE_SIZE][NET_MAX_BUFFER] __attribute__((aligned(4096)));

void net_start(struct net_card* card, const struct boot_info* boot, unsigned nth, unsigned ring, uint64_t features,
               uint32_t buffer_size) {
  virtio_bind_queues(card->queues, 2, virtio_find(boot, VIRTIO_ID_NET, nth), ring);
  virtio_start_queues(card->queues, 2, features);
  card->buffer_size = buffer_size;
  for (uint32_t i = 0; i < MAC_SIZE; ++i) {
    card->mac[i] = load8(card->queues[0].base + REG_CONFIG + i);
  }
  for (unsigned i = 0; i < QUEUE_SIZE; ++i) {
    card->queues[NET_RX].descriptors[i] = (struct descriptor){(uint64_t)buffers[i], buffer_size, DESCRIPTOR_WRITE, 0};
  }
}

void net_post(struct net_card* card) {
  for (uint16_t i = 0; i < QUEUE_SIZE; ++i) {
    virtio_push(&card->queues[NET_RX], i);
  }
  virtio_notify(&card->queues[NET_RX]);
}

static int add_buffer(struct net_card* card, struct net_frame* frame) {
  struct used_element element;
  if (!virtio_take(&card->queues[NET_RX], &element)) {
    return 0;
  }
  if (element.id >= QUEUE_SIZE || element.length > card->buffer_size || frame->count == QUEUE_SIZE) {
    fail("net: buffer %u comes with %u bytes, after %u others", element.id, element.length, frame->count);
  }
  frame->ids[frame->count] = (uint16_t)element.id;
  frame->lengths[frame->count++] = element.length;
  frame->size += element.length;
  return 1;
}

int net_receive(struct net_card* card, struct net_frame* frame) {
  frame->count = frame->size = 0;
  if (!add_buffer(card, frame)) {
    return 0;
  }
  frame->start = buffers[frame->ids[0]];
  const struct net_header* header = (const struct net_header*)frame->start;
  if (frame->size <= NET_HEADER_SIZE || header->buffer_count == 0 || header->buffer_count > QUEUE_SIZE) {
    fail("net: a frame of %u bytes in %u buffers", frame->size, (uint32_t)header->buffer_count);
  }
  // Section 5.1.6.4: all buffers of a frame are shown to the driver at once.
  while (frame->count < header->buffer_count) {
    if (!add_buffer(card, frame)) {
      fail("net: only %u of %u buffers are there", frame->count, (uint32_t)header->buffer_count);
    }
  }
  return 1;
}

void net_await(struct net_card* card, struct net_frame* frame) {
  const struct deadline deadline = deadline_start();
  while (!net_receive(card, frame)) {
    if (deadline_passed(&deadline)) {
      fail("net: no frame comes");
    }
  }
}

void net_release(struct net_card* card, const struct net_frame* frame) {
  for (unsigned i = 0; i < frame->count; ++i) {
    virtio_push(&card->queues[NET_RX], frame->ids[i]);
  }
  virtio_notify(&card->queues[NET_RX]);
}

void net_forward(struct net_card* card, const struct net_frame* frame) {
  volatile struct descriptor* chain = card->queues[NET_TX].descriptors;
  for (uint32_t i = 0; i < frame->count; ++i) {
    const uint16_t flags = i + 1 < frame->count ? DESCRIPTOR_NEXT : 0;
    chain[i] = (struct descriptor){(uint64_t)buffers[frame->ids[i]], frame->lengths[i], flags, (uint16_t)(i + 1)};
  }
  virtio_request(&card->queues[NET_TX], 0);
}

void net_send(struct net_card* card, const void* data, uint32_t size) {
  card->queues[NET_TX].descriptors[0] = (struct descriptor){(uint64_t)data, size, 0, 0};
  virtio_request(&card->queues[NET_TX], 0);
}
