// Persistent memory on order, device `n`: "read <n> <offset>" prints "pmem: <hex of 8 bytes>", "write <n> <offset>"
// writes the offset xor a pattern there and prints what is then read, "flush <n>" prints "pmem: flush <answer>",
// "flushes <n> <times>". "quit". Prints "pmem<n>: size=<MiB>" for each device at the start.
#include "runtime/command.h"
#include "runtime/pmem.h"

enum { MAX_DEVICES = 4 };
static const uint64_t kPattern = 0x5ca1ab1e0ddba11ULL;

void guest_main(const struct boot_info* boot) {
  struct command order;
  struct virtio_device pmem[MAX_DEVICES];
  unsigned count = 0;
  for (; count < MAX_DEVICES && virtio_find(boot, VIRTIO_ID_PMEM, count) != 0; ++count) {
    pmem_start(&pmem[count], boot, count, count);
    print("pmem%u: size=%u\n", count, (uint32_t)(pmem_size(&pmem[count]) >> 20));
  }
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    struct virtio_device* device = &pmem[order.numbers[0] % count];
    volatile uint64_t* place = map_high_window(pmem_address(device) + order.numbers[1]);
    if (command_is(&order, "write")) {
      *place = order.numbers[1] ^ kPattern;
    }
    if (command_is(&order, "read") || command_is(&order, "write")) {
      print("pmem: %x\n", *place);
    }
    if (command_is(&order, "flush")) {
      print("pmem: flush %u\n", pmem_flush(device));
    }
    for (uint32_t i = 0; command_is(&order, "flushes") && i < order.numbers[1]; ++i) {
      if (pmem_flush(device) != 0) {
        fail("pmem: a flush fails");
      }
    }
    print("pmem: %s done\n", order.word);
  }
}
