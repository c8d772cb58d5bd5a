// A drive and a network card in use all the time, in a way that shows every request that is lost, repeated or out of
// order: for machines that are captured and restored again and again. Goes from the order "go" to the order "stop", or
// for rounds=<n> on the command line.
//
// Drive: LANES requests are in flight, each with a sector of its own. A round of a lane writes the round's number to
// one of its 8 sectors and reads it back. Every chain comes back once, with its length; what is read is what was
// written last, so that a write that is done once more, later, is seen as well. Network: lane 0 sends a frame with each
// round's number; the host sends each back. They come back all, in order, once. At most WINDOW are on their way, so
// that no queue of the host overflows.
//
// Prints "journey: rounds=<n> sum=<of what was read> sent=<n> received=<n> sum=<of what came>".
#include "runtime/block.h"
#include "runtime/command.h"
#include "runtime/net.h"

enum { LANES = 4, LANE_SECTORS = 8, CHAIN = 3, RING_DRIVE = 0, RING_NET = 1, WINDOW = 8 };
enum {
  TEST_TYPE = 0xb688,
  FRAME_SIZE = NET_HEADER_SIZE + 60,
  PAYLOAD = NET_HEADER_SIZE + 14,
  LAST_WORD = SECTOR_SIZE - 4
};
enum state { IDLE, WRITING, READING };

struct lane {
  volatile struct block_header header;
  volatile uint8_t status;
  uint8_t data[SECTOR_SIZE] __attribute__((aligned(SECTOR_SIZE)));
  enum state state;
  uint32_t round;
};

static struct lane lanes[LANES];
static struct virtio_device drive;
static struct net_card card;
static uint32_t target, read_sum, sent, received, received_sum;

static void offer(unsigned number, enum block_operation operation) {
  struct lane* lane = &lanes[number];
  volatile struct descriptor* chain = &drive.descriptors[number * CHAIN];
  const uint16_t first = (uint16_t)(number * CHAIN), direction = operation == BLOCK_IN ? DESCRIPTOR_WRITE : 0;
  lane->header.operation = operation;
  lane->header.sector = number * LANE_SECTORS + lane->round % LANE_SECTORS;
  lane->status = BLOCK_UNTOUCHED;
  chain[0] = (struct descriptor){(uint64_t)&lane->header, sizeof lane->header, DESCRIPTOR_NEXT, first + 1};
  chain[1] = (struct descriptor){(uint64_t)lane->data, SECTOR_SIZE, DESCRIPTOR_NEXT | direction, first + 2};
  chain[2] = (struct descriptor){(uint64_t)&lane->status, 1, DESCRIPTOR_WRITE, 0};
  virtio_offer(&drive, first);
}

static void begin_round(unsigned number) {
  struct lane* lane = &lanes[number];
  store32((uint64_t)lane->data, lane->round);
  store32((uint64_t)lane->data + LAST_WORD, ~lane->round);
  lane->state = WRITING;
  offer(number, BLOCK_OUT);
}

static void take_answers(void) {
  struct used_element element;
  while (virtio_take(&drive, &element)) {
    const uint32_t number = element.id / CHAIN;
    if (number >= LANES || element.id % CHAIN != 0 || lanes[number].state == IDLE) {
      fail("journey: chain %u comes back and is not on its way", element.id);
    }
    struct lane* lane = &lanes[number];
    const uint32_t due = lane->state == READING ? SECTOR_SIZE + 1 : 1;
    if (lane->status != BLOCK_OK || element.length != due) {
      fail("journey: lane %u has status %u and %u bytes", number, (uint32_t)lane->status, element.length);
    }
    if (lane->state == WRITING) {
      store32((uint64_t)lane->data, 0);
      store32((uint64_t)lane->data + LAST_WORD, 0);
      lane->state = READING;
      offer(number, BLOCK_IN);
      continue;
    }
    const uint32_t first = load32((uint64_t)lane->data), last = load32((uint64_t)lane->data + LAST_WORD);
    if (first != lane->round || last != ~lane->round) {
      fail("journey: lane %u reads %u instead of %u", number, first, lane->round);
    }
    read_sum += (first + 1) * (number + 1);  // in any order: lanes do not wait for each other
    lane->state = IDLE;
    ++lane->round;
  }
}

static void send_frame(void) {
  static uint8_t frame[FRAME_SIZE];
  memset(frame + NET_HEADER_SIZE, 0xff, MAC_SIZE);
  memcpy(frame + NET_HEADER_SIZE + MAC_SIZE, card.mac, MAC_SIZE);
  store16((uint64_t)frame + NET_HEADER_SIZE + 12, TEST_TYPE);
  store32((uint64_t)frame + PAYLOAD, sent);
  net_send(&card, frame, sizeof frame);
  ++sent;
}

static void take_frames(void) {
  struct net_frame frame;
  while (net_receive(&card, &frame)) {
    if (load16((uint64_t)frame.start + NET_HEADER_SIZE + 12) == TEST_TYPE) {
      const uint32_t number = load32((uint64_t)frame.start + PAYLOAD);
      if (number != received) {
        fail("journey: frame %u comes instead of %u", number, received);
      }
      received_sum = received_sum * 31 + number;
      ++received;
    }
    net_release(&card, &frame);
  }
}

// 0 when every lane has reached the target and every frame is back.
static int step(void) {
  int busy = 0;
  take_answers();
  take_frames();
  for (unsigned number = 0; number < LANES; ++number) {
    struct lane* lane = &lanes[number];
    if (lane->state == IDLE && lane->round < target && (number != 0 || sent - received < WINDOW)) {
      begin_round(number);
      if (number == 0) {
        send_frame();
      }
    }
    busy |= lane->state != IDLE || lane->round < target;
  }
  return busy || received != sent;
}

// The lanes go on to the round that the foremost one is in.
static void set_target(void) {
  uint32_t most = 0;
  for (unsigned number = 0; number < LANES; ++number) {
    const uint32_t due = lanes[number].round + (lanes[number].state != IDLE);
    most = due > most ? due : most;
  }
  target = most;
}

static uint32_t wanted_rounds(const struct boot_info* boot) {
  char text[12];
  uint32_t rounds = 0;
  if (command_line_value(boot, "rounds", text, sizeof text)) {
    for (const char* digit = text; *digit != 0; ++digit) {
      rounds = rounds * 10 + (uint32_t)(*digit - '0');
    }
  }
  return rounds;
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  const uint32_t rounds = wanted_rounds(boot);
  virtio_bind(&drive, virtio_find(boot, VIRTIO_ID_BLOCK, 0), RING_DRIVE);
  virtio_start(&drive, BLOCK_FEATURES);
  net_start(&card, boot, 0, RING_NET, NET_BASIC_FEATURES, 2048);
  net_post(&card);
  print("GUEST-UP\n");
  command_next(&order);
  print("journey: go done\n");
  target = rounds != 0 ? rounds : 0xffffffff;
  while (step()) {
    if (target == 0xffffffff && command_waiting()) {
      command_next(&order);
      set_target();
    }
  }
  print("journey: rounds=%u sum=%u sent=%u received=%u sum=%u\n", target, read_sum, sent, received, received_sum);
}
