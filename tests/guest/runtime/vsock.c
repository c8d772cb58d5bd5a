#include "runtime/vsock.h"

struct __attribute__((aligned(64))) buffer {
  struct vsock_header header;
  uint8_t payload[VSOCK_PAYLOAD];
};
static struct buffer buffers[QUEUE_SIZE];
static struct vsock_header out;
static uint32_t event;  // virtio_vsock_event: its id

void vsock_start(struct vsock* vsock, const struct boot_info* boot, unsigned ring) {
  virtio_bind_queues(vsock->queues, VSOCK_QUEUES, virtio_find(boot, VIRTIO_ID_VSOCK, 0), ring);
  virtio_start_queues(vsock->queues, VSOCK_QUEUES, VIRTIO_F_VERSION_1);
  vsock->cid = virtio_config64(&vsock->queues[0], 0);
  for (uint16_t i = 0; i < QUEUE_SIZE; ++i) {
    vsock->queues[VSOCK_RX].descriptors[i] =
        (struct descriptor){(uint64_t)&buffers[i], sizeof(struct vsock_header) + VSOCK_PAYLOAD, DESCRIPTOR_WRITE, 0};
    virtio_push(&vsock->queues[VSOCK_RX], i);
  }
  virtio_notify(&vsock->queues[VSOCK_RX]);
  vsock->queues[VSOCK_EVENT].descriptors[0] = (struct descriptor){(uint64_t)&event, sizeof event, DESCRIPTOR_WRITE, 0};
  virtio_offer(&vsock->queues[VSOCK_EVENT], 0);
}

// A machine from a snapshot gets a transport reset first, and packets once the buffer is there again.
static void take_event(struct vsock* vsock) {
  struct used_element element;
  if (virtio_take(&vsock->queues[VSOCK_EVENT], &element)) {
    vsock->resets += element.length == sizeof event && event == VSOCK_EVENT_TRANSPORT_RESET;
    virtio_offer(&vsock->queues[VSOCK_EVENT], 0);
  }
}

int vsock_receive(struct vsock* vsock, struct vsock_packet* packet) {
  struct used_element element;
  take_event(vsock);
  if (!virtio_take(&vsock->queues[VSOCK_RX], &element)) {
    return 0;
  }
  if (element.id >= QUEUE_SIZE || element.length != sizeof(struct vsock_header) + buffers[element.id].header.length) {
    fail("vsock: buffer %u comes with %u bytes", element.id, element.length);
  }
  *packet = (struct vsock_packet){(uint16_t)element.id, &buffers[element.id].header, buffers[element.id].payload};
  if (packet->header->source_cid != VSOCK_HOST_CID || packet->header->target_cid != vsock->cid) {
    fail("vsock: a packet from cid 0x%x to 0x%x", packet->header->source_cid, packet->header->target_cid);
  }
  return 1;
}

void vsock_release(struct vsock* vsock, const struct vsock_packet* packet) {
  virtio_offer(&vsock->queues[VSOCK_RX], packet->id);
}

void vsock_send(struct vsock* vsock, struct vsock_header header, const void* payload) {
  volatile struct descriptor* chain = vsock->queues[VSOCK_TX].descriptors;
  header.source_cid = vsock->cid;
  header.target_cid = VSOCK_HOST_CID;
  header.type = VSOCK_TYPE_STREAM;
  out = header;
  chain[0] = (struct descriptor){(uint64_t)&out, sizeof out, header.length != 0 ? DESCRIPTOR_NEXT : 0, 1};
  chain[1] = (struct descriptor){(uint64_t)payload, header.length, 0, 0};
  virtio_request(&vsock->queues[VSOCK_TX], 0);
}
