// One request to every kind of device a round, each checked, until the host orders "stop", or "rest", after which the
// guest does nothing any more: for pauses and snapshots while everything is in use, and for the idle time after it.
// Needs a drive, net, vsock with an echoing program at port 1234, entropy, balloon, pmem and memory hot-plug with at
// least one block requested. Prints "traffic: rounds=<n>" at the end.
#include "runtime/balloon.h"
#include "runtime/block.h"
#include "runtime/command.h"
#include "runtime/mem.h"
#include "runtime/net.h"
#include "runtime/pmem.h"
#include "runtime/rng.h"
#include "runtime/vsock.h"

enum { RING_DRIVE, RING_NET, RING_VSOCK = 3, RING_RNG = 6, RING_BALLOON, RING_PMEM = 12, RING_MEM };
enum {
  FREE_PAGE = 0x3000000,
  FRAME_SIZE = NET_HEADER_SIZE + 60,
  TEST_TYPE = 0xb588,
  ECHO_PORT = 1234,
  OWN_PORT = 4000
};
static struct virtio_device drive, rng, balloon[BALLOON_QUEUES], pmem, mem;
static struct net_card card;
static struct vsock vsock;
static uint8_t sector[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));
static uint32_t sector_sum, taken;

static uint32_t read_drive(void) {
  if (block_request(&drive, BLOCK_IN, 0, sector, SECTOR_SIZE) != BLOCK_OK) {
    fail("traffic: the drive has status %u", (uint32_t)block_status);
  }
  return block_sum(sector, SECTOR_SIZE);
}

static void send_frame(uint32_t round) {
  static uint8_t frame[FRAME_SIZE];
  memset(frame + NET_HEADER_SIZE, 0xff, MAC_SIZE);
  memcpy(frame + NET_HEADER_SIZE + MAC_SIZE, card.mac, MAC_SIZE);
  store16((uint64_t)frame + NET_HEADER_SIZE + 12, TEST_TYPE);
  store32((uint64_t)frame + NET_HEADER_SIZE + 14, round);
  net_send(&card, frame, sizeof frame);
}

static void send_packet(enum vsock_operation operation, const void* payload, uint32_t size) {
  vsock_send(&vsock,
             (struct vsock_header){.source_port = OWN_PORT,
                                   .target_port = ECHO_PORT,
                                   .length = size,
                                   .operation = (uint16_t)operation,
                                   .buffer_size = 65536,
                                   .forwarded = taken},
             payload);
}

// The first four bytes of the next packet of this kind.
static uint32_t await_packet(enum vsock_operation operation) {
  const struct deadline deadline = deadline_start();
  struct vsock_packet packet;
  for (;;) {
    if (vsock_receive(&vsock, &packet)) {
      const uint32_t first = load32((uint64_t)packet.payload);
      const uint32_t seen = packet.header->operation;
      taken += packet.header->length;
      vsock_release(&vsock, &packet);
      if (seen == operation) {
        return first;
      }
      if (seen == VSOCK_RESET) {
        fail("traffic: the connection was reset");
      }
    }
    if (deadline_passed(&deadline)) {
      fail("traffic: no packet of kind %u comes", (uint32_t)operation);
    }
  }
}

static void use_memory(uint32_t round) {
  const uint64_t region = virtio_config64(&mem, MEM_CONFIG_ADDRESS);
  if (mem_ask(&mem, MEM_PLUG, region, 1) != MEM_ACK) {
    fail("traffic: plugging is answered with %u", (uint32_t)mem_response.type);
  }
  volatile uint64_t* word = map_high_window(region);
  if (*word != 0) {
    fail("traffic: fresh memory holds 0x%x", *word);
  }
  *word = round;
  if (*word != round || mem_ask(&mem, MEM_UNPLUG, region, 1) != MEM_ACK) {
    fail("traffic: plugged memory does not hold, or cannot be unplugged");
  }
}

static void use_everything(uint32_t round) {
  uint8_t bytes[32];
  if (read_drive() != sector_sum || rng_fill(&rng, bytes, sizeof bytes) != sizeof bytes) {
    fail("traffic: the drive or the entropy device gives something else");
  }
  send_frame(round);
  send_packet(VSOCK_DATA, &round, sizeof round);
  store8(FREE_PAGE, 1);
  balloon_inflate(balloon, FREE_PAGE, 1);
  balloon_deflate(balloon, FREE_PAGE, 1);
  *map_high_window(pmem_address(&pmem)) = round;
  if (load8(FREE_PAGE) != 0 || pmem_flush(&pmem) != 0) {
    fail("traffic: the balloon or the persistent memory does not work");
  }
  use_memory(round);
  const uint32_t echoed = await_packet(VSOCK_DATA);
  if (echoed != round) {
    fail("traffic: %u comes back instead of %u", echoed, round);
  }
}

void guest_main(const struct boot_info* boot) {
  uint32_t round = 0;
  struct command order;
  virtio_bind(&drive, virtio_find(boot, VIRTIO_ID_BLOCK, 0), RING_DRIVE);
  virtio_start(&drive, BLOCK_FEATURES);
  net_start(&card, boot, 0, RING_NET, NET_BASIC_FEATURES, 2048);
  vsock_start(&vsock, boot, RING_VSOCK);
  rng_start(&rng, boot, RING_RNG);
  balloon_start(balloon, boot, RING_BALLOON);
  pmem_start(&pmem, boot, 0, RING_PMEM);
  mem_start(&mem, boot, RING_MEM);
  sector_sum = read_drive();
  print("GUEST-UP\n");
  command_next(&order);  // once memory is requested and somebody listens
  send_packet(VSOCK_REQUEST, 0, 0);
  await_packet(VSOCK_RESPONSE);
  print("traffic: %s done\n", order.word);
  while (!command_waiting()) {
    use_everything(round++);
  }
  command_next(&order);
  print("traffic: rounds=%u\ntraffic: %s done\n", round, order.word);
  if (command_is(&order, "rest")) {
    halt_forever();
  }
}
