// Memory hot-plug on order; blocks are numbered from the start of the region. Each order prints "mem: answer=<n>
// plugged=<MiB> requested=<MiB> usable=<MiB>".
//
//   plug <first> <n>, unplug <first> <n>, state <first> <n>, unplug_all
//   fill <block>     writes to the block and reads back; prints "mem: held <0|1>"
//   look <block>     reads the block's first word; prints "mem: word <hex>"
//   rings <block>    puts the rings of the entropy device into the block, uses it, unplugs the block, kicks, plugs it
//                    again, and starts the entropy device anew in ordinary memory; "mem: rings before=<bytes>
//                    after=<1: something came, 2: needs reset, 3: both> again=<bytes>"
//   quit
#include "runtime/command.h"
#include "runtime/mem.h"
#include "runtime/rng.h"

enum { KICKS = 50, ROOM = 64, RNG_RING = 1 };
static struct virtio_device mem, rng;
static uint64_t region, block_size;

static volatile uint64_t* window(uint32_t block) {
  return map_high_window(region + block * block_size);
}

static void fill(uint32_t block) {
  volatile uint64_t* words = window(block);
  int held = 1;
  for (unsigned i = 0; i < 512; ++i) {
    words[i * 512] = ~(uint64_t)i;
  }
  for (unsigned i = 0; i < 512; ++i) {
    held &= words[i * 512] == ~(uint64_t)i;
  }
  print("mem: held %u\n", (uint32_t)held);
}

// The queue of the entropy device, its rings and its buffer in the block: seen here through the window.
static void start_in_block(uint32_t block) {
  uint8_t* at = (uint8_t*)window(block);
  const uint64_t distance = region + block * block_size - (uint64_t)at;
  virtio_reset(&rng);
  virtio_negotiate(&rng, VIRTIO_F_VERSION_1);
  rng.descriptors = (struct descriptor*)at;
  rng.available = (struct available_ring*)(at + 4096);
  rng.used = (struct used_ring*)(at + 8192);
  virtio_set_up_queue_at(&rng, distance);
  virtio_write(&rng, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
  rng.descriptors[0] = (struct descriptor){(uint64_t)at + 12288 + distance, ROOM, DESCRIPTOR_WRITE, 0};
}

static void rings(const struct boot_info* boot, uint32_t block) {
  static uint8_t data[ROOM];
  uint32_t seen = 0;
  start_in_block(block);
  const uint32_t before = virtio_request(&rng, 0);
  if (mem_ask(&mem, MEM_UNPLUG, region + block * block_size, 1) != MEM_ACK) {
    fail("mem: the block with the rings cannot be unplugged");
  }
  for (unsigned i = 0; i < KICKS; ++i) {
    virtio_notify(&rng);
    seen |= (virtio_read(&rng, REG_STATUS) & STATUS_NEEDS_RESET) != 0 ? 2 : 0;
  }
  if (mem_ask(&mem, MEM_PLUG, region + block * block_size, 1) != MEM_ACK) {
    fail("mem: the block with the rings cannot be plugged again");
  }
  seen |= rng.used->index != 0;  // a plugged block is zeroed: what is there came later
  rng_start(&rng, boot, RNG_RING);
  print("mem: rings before=%u after=%u again=%u\n", before, seen, rng_fill(&rng, data, ROOM));
}

static enum mem_answer carry_out(const struct boot_info* boot, const struct command* order) {
  static const char* const names[] = {"plug", "unplug", "unplug_all", "state"};
  const uint32_t block = order->numbers[0];
  for (unsigned type = MEM_PLUG; type <= MEM_STATE; ++type) {
    if (command_is(order, names[type])) {
      return mem_ask(&mem, (enum mem_type)type, region + block * block_size, (uint16_t)order->numbers[1]);
    }
  }
  if (command_is(order, "fill")) {
    fill(block);
  } else if (command_is(order, "look")) {
    print("mem: word %x\n", *window(block));
  } else if (command_is(order, "rings")) {
    rings(boot, block);
  }
  return MEM_NOTHING;
}

static uint32_t mib_of(enum mem_config field) {
  return (uint32_t)(virtio_config64(&mem, field) >> 20);
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  mem_start(&mem, boot, 0);
  rng_start(&rng, boot, RNG_RING);
  region = virtio_config64(&mem, MEM_CONFIG_ADDRESS);
  block_size = virtio_config64(&mem, MEM_CONFIG_BLOCK_SIZE);
  print("mem: region=%x block=%u\nGUEST-UP\n", region, (uint32_t)block_size);
  while (command_next(&order), !command_is(&order, "quit")) {
    const enum mem_answer answer = carry_out(boot, &order);
    print("mem: answer=%u plugged=%u requested=%u usable=%u\nmem: %s done\n", (uint32_t)answer,
          mib_of(MEM_CONFIG_PLUGGED_SIZE), mib_of(MEM_CONFIG_REQUESTED_SIZE), mib_of(MEM_CONFIG_USABLE_SIZE),
          order.word);
  }
}
