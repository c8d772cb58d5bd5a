#include "hostile/victims.h"

#include "runtime/balloon.h"
#include "runtime/mem.h"
#include "runtime/net.h"
#include "runtime/pmem.h"
#include "runtime/rng.h"
#include "runtime/vsock.h"

// Ring memory: the witness has set 0.
enum { RING_NET = 1, RING_VSOCK = 3, RING_RNG = 6, RING_BALLOON = 7, RING_PMEM = 12, RING_MEM = 13 };
enum { ARP_FRAME_SIZE = NET_HEADER_SIZE + 42, SMALL_BUFFER = 2048, FREE_PAGE = 0x3000000 };

const struct boot_info* victim_boot;
struct request_area request_area;
static struct net_card card;
static struct vsock vsock;
struct virtio_device victim_net[2], victim_vsock[VSOCK_QUEUES], victim_rng[1], victim_balloon[BALLOON_QUEUES],
    victim_pmem[1], victim_mem[1];

static void fill_arp(uint8_t* frame) {
  static const uint8_t request[28] = {0,   1,   8, 0, 6, 4, 0, 1, 6, 0, 0,   0,   0,   1,
                                      169, 254, 1, 2, 0, 0, 0, 0, 0, 0, 169, 254, 169, 254};
  memset(frame, 0, ARP_FRAME_SIZE);
  memset(frame + NET_HEADER_SIZE, 0xff, MAC_SIZE);
  frame[NET_HEADER_SIZE + MAC_SIZE] = 6;
  frame[NET_HEADER_SIZE + 12] = 8;
  frame[NET_HEADER_SIZE + 13] = 6;
  memcpy(frame + NET_HEADER_SIZE + 14, request, sizeof request);
}

void net_ask_service(void) {
  static uint8_t frame[ARP_FRAME_SIZE];
  fill_arp(frame);
  // Not waited for: the device may be broken already.
  virtio_lay_out(&victim_net[NET_TX], frame, sizeof frame, 0, 0);
  virtio_offer(&victim_net[NET_TX], 0);
}

static void net_works(void) {
  struct net_frame frame;
  net_start(&card, victim_boot, 0, RING_NET, NET_BASIC_FEATURES, SMALL_BUFFER);
  memcpy(victim_net, card.queues, sizeof card.queues);
  net_post(&card);
  fill_arp(request_area.readable);
  net_send(&card, request_area.readable, ARP_FRAME_SIZE);
  for (int answered = 0; !answered; net_release(&card, &frame)) {
    net_await(&card, &frame);  // other frames may come from the TAP
    answered = frame.start[NET_HEADER_SIZE + 13] == 6 && frame.start[NET_HEADER_SIZE + 21] == 2;
  }
}

static void fill_stray_data(uint8_t* packet) {
  const struct vsock_header header = {.source_cid = virtio_config64(victim_vsock, 0),
                                      .target_cid = VSOCK_HOST_CID,
                                      .source_port = 7,
                                      .target_port = 8,
                                      .type = VSOCK_TYPE_STREAM,
                                      .operation = VSOCK_CREDIT_UPDATE};
  memcpy(packet, &header, sizeof header);
}

// A packet for a connection that is not there: a reset must come.
static void vsock_ask_for_reset(void) {
  static uint8_t packet[sizeof(struct vsock_header)];
  fill_stray_data(packet);
  virtio_lay_out(&victim_vsock[VSOCK_TX], packet, sizeof packet, 0, 0);
  virtio_offer(&victim_vsock[VSOCK_TX], 0);
}

static void vsock_works(void) {
  struct vsock_packet packet;
  const struct deadline deadline = deadline_start();
  vsock_start(&vsock, victim_boot, RING_VSOCK);
  memcpy(victim_vsock, vsock.queues, sizeof vsock.queues);
  vsock_send(&vsock, (struct vsock_header){.source_port = 7, .target_port = 8, .operation = VSOCK_CREDIT_UPDATE}, 0);
  while (!vsock_receive(&vsock, &packet)) {
    if (deadline_passed(&deadline)) {
      fail("vsock: no reset for a packet without a connection");
    }
  }
  if (packet.header->operation != VSOCK_RESET || packet.header->target_port != 7) {
    fail("vsock: operation %u instead of a reset", (uint32_t)packet.header->operation);
  }
}

static void rng_works(void) {
  static uint8_t bytes[32];
  rng_start(victim_rng, victim_boot, RING_RNG);
  if (rng_fill(victim_rng, bytes, sizeof bytes) != sizeof bytes) {
    fail("rng: not all bytes come");
  }
}

static void fill_frames(uint8_t* list) {
  for (uint32_t i = 0; i < 6; ++i) {
    store32((uint64_t)list + 4 * i, FREE_PAGE / BALLOON_PAGE + i);
  }
}

static void fill_statistics(uint8_t* list) {
  const struct balloon_statistic statistics[2] = {{4, 1}, {5, 2}};
  memcpy(list, statistics, sizeof statistics);
}

static void fill_hint(uint8_t* command) {
  store32((uint64_t)command, HINT_STOP);
}

static void balloon_works(void) {
  balloon_start(victim_balloon, victim_boot, RING_BALLOON);
  store8(FREE_PAGE, 1);
  balloon_inflate(victim_balloon, FREE_PAGE, 4);
  if (load8(FREE_PAGE) != 0) {
    fail("balloon: an inflated page still has its contents");
  }
  balloon_deflate(victim_balloon, FREE_PAGE, 4);
}

static void fill_flush(uint8_t* request) {
  store32((uint64_t)request, 0);
}

static void pmem_works(void) {
  pmem_start(victim_pmem, victim_boot, 0, RING_PMEM);
  if (pmem_flush(victim_pmem) != 0) {
    fail("pmem: a flush fails");
  }
}

static void fill_mem_request(uint8_t* request) {
  const struct mem_request state = {.type = MEM_STATE, .address = hotplug_region, .blocks = 1};
  memcpy(request, &state, sizeof state);
}

static void mem_works(void) {
  mem_start(victim_mem, victim_boot, RING_MEM);
  if (mem_ask(victim_mem, MEM_STATE, hotplug_region, 1) != MEM_ACK) {
    fail("mem: answer %u to a question for a block's state", (uint32_t)mem_response.type);
  }
}

const struct victim kVictims[] = {
    {"net",
     VIRTIO_ID_NET,
     NET_BASIC_FEATURES,
     2,
     victim_net,
     {{"rx", 0, SMALL_BUFFER, 0, net_ask_service, 0}, {"tx", ARP_FRAME_SIZE, 0, fill_arp, 0, 0}},
     net_works},
    {"vsock",
     VIRTIO_ID_VSOCK,
     VIRTIO_F_VERSION_1,
     VSOCK_QUEUES,
     victim_vsock,
     {{"rx", 0, SMALL_BUFFER, 0, vsock_ask_for_reset, 0},
      {"tx", sizeof(struct vsock_header), 0, fill_stray_data, 0, 0},
      {"event", 0, 8, 0, 0, 1}},
     vsock_works},
    {"rng", VIRTIO_ID_RNG, VIRTIO_F_VERSION_1, 1, victim_rng, {{"requests", 0, 64, 0, 0, 0}}, rng_works},
    {"balloon",
     VIRTIO_ID_BALLOON,
     BALLOON_FEATURES,
     BALLOON_QUEUES,
     victim_balloon,
     {{"inflate", 24, 0, fill_frames, 0, 0},
      {"deflate", 24, 0, fill_frames, 0, 0},
      {"statistics", 2 * sizeof(struct balloon_statistic), 0, fill_statistics, 0, 0},
      {"hinting", 4, 0, fill_hint, 0, 0},
      {"reporting", 0, 64, 0, 0, 0}},
     balloon_works},
    {"pmem", VIRTIO_ID_PMEM, VIRTIO_F_VERSION_1, 1, victim_pmem, {{"requests", 4, 4, fill_flush, 0, 0}}, pmem_works},
    {"mem",
     VIRTIO_ID_MEM,
     MEM_FEATURES,
     1,
     victim_mem,
     {{"requests", sizeof(struct mem_request), sizeof(struct mem_response), fill_mem_request, 0, 0}},
     mem_works},
};
const unsigned kVictimCount = sizeof kVictims / sizeof kVictims[0];

void victim_start(const struct victim* victim) {
  virtio_start_queues(victim->queues, victim->queue_count, victim->features);
}

// Cuts [start, start + size) into `pieces` descriptors from `first` on, all of them linked on.
static void cut(volatile struct descriptor* chain, unsigned first, unsigned pieces, const uint8_t* start, uint32_t size,
                uint16_t direction) {
  uint32_t done = 0;
  for (unsigned i = 0; i < pieces; ++i) {
    const uint32_t length = i + 1 == pieces ? size - done : size / pieces;
    chain[first + i] = (struct descriptor){(uint64_t)start + done, length, (uint16_t)(direction | DESCRIPTOR_NEXT),
                                           (uint16_t)(first + i + 1)};
    done += length;
  }
}

void victim_lay_out(struct virtio_device* queue, const struct good_request* request) {
  const unsigned readable_pieces = request->writable == 0 ? 3 : request->readable == 0 ? 0 : 2;
  if (request->fill != 0) {
    request->fill(request_area.readable);
  }
  cut(queue->descriptors, 0, readable_pieces, request_area.readable, request->readable, 0);
  cut(queue->descriptors, readable_pieces, 3 - readable_pieces, request_area.writable, request->writable,
      DESCRIPTOR_WRITE);
  queue->descriptors[2].flags &= (uint16_t)~DESCRIPTOR_NEXT;
}
