// The entropy device on order: "fill <bytes> <times>" prints "rng: got <bytes> sum=<n>" for each. "quit".
#include "runtime/block.h"
#include "runtime/command.h"
#include "runtime/rng.h"

enum { ROOM = 256 * 1024, SUMMED = 64 };
static uint8_t data[ROOM];

void guest_main(const struct boot_info* boot) {
  struct command order;
  struct virtio_device rng;
  rng_start(&rng, boot, 0);
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    for (uint32_t i = 0; i < order.numbers[1]; ++i) {
      const uint32_t size = order.numbers[0] < ROOM ? order.numbers[0] : ROOM;
      memset(data, 0, SUMMED);
      store8((uint64_t)data + size - 1, 0);
      const uint32_t got = rng_fill(&rng, data, size);
      print("rng: got %u sum=%u\n", got, block_sum(data, got < SUMMED ? got : SUMMED));
    }
    print("rng: %s done\n", order.word);
  }
}
