// The balloon on order; hinting and reporting only where it has them. Guest memory from 64 MiB on is its to give; `mib`
// below counts from there.
//
//   touch <mib>      writes to every page
//   inflate <mib>    to the host
//   zero <mib>       checks that pages read as zeros, which brings those back that it looks at
//   deflate <mib>    back
//   report <mib>     the same memory as one free range through the reporting queue
//   hint <mib>       one run of hints with the device's present command; prints "balloon: command=<n> after=<n>"
//   statistics       sends a buffer of two statistics (free memory 12345, total memory 67890), or takes back and renews
//                    the one that is out; prints "balloon: asked=<0|1>"
//   any order        prints "balloon: target=<pages> actual=<pages>"
//   quit
#include "runtime/balloon.h"
#include "runtime/command.h"

enum { FREE_MEMORY = 4, TOTAL_MEMORY = 5, PAGES_PER_MIB = 256 };
static const uint64_t kStart = 64ULL << 20;
static struct virtio_device balloon[BALLOON_QUEUES];
static struct balloon_statistic statistics[2] = {{FREE_MEMORY, 12345}, {TOTAL_MEMORY, 67890}};

static void touch(uint32_t mib) {
  for (uint64_t at = kStart; at < kStart + ((uint64_t)mib << 20); at += BALLOON_PAGE) {
    store8(at, 1);
  }
}

static void check_zero(uint32_t mib) {
  for (uint64_t at = kStart; at < kStart + ((uint64_t)mib << 20); at += 64 * BALLOON_PAGE) {
    if (load8(at) != 0) {
      fail("balloon: the page at 0x%x still has its contents", at);
    }
  }
}

static void hint(uint32_t mib) {
  static uint32_t command;
  struct virtio_device* queue = &balloon[BALLOON_HINTING];
  command = virtio_config32(balloon, BALLOON_CONFIG_HINT);
  const uint32_t first = command;
  virtio_exchange(queue, &command, sizeof command, 0, 0);
  balloon_give_range(queue, kStart, mib << 20);
  command = HINT_STOP;
  virtio_exchange(queue, &command, sizeof command, 0, 0);
  print("balloon: command=%u after=%u\n", first, virtio_config32(balloon, BALLOON_CONFIG_HINT));
}

static void send_statistics(void) {
  static int out;
  struct virtio_device* queue = &balloon[BALLOON_STATISTICS];
  struct used_element element;
  const int asked = out && virtio_wait(queue, &element) == WAIT_USED;
  if (!out || asked) {
    virtio_lay_out(queue, statistics, sizeof statistics, 0, 0);
    virtio_offer(queue, 0);
    out = 1;
  }
  print("balloon: asked=%u\n", (uint32_t)asked);
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  balloon_start_offered(balloon, boot, 0);
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    const uint32_t mib = order.numbers[0];
    if (command_is(&order, "touch")) {
      touch(mib);
    } else if (command_is(&order, "inflate")) {
      balloon_inflate(balloon, kStart, mib * PAGES_PER_MIB);
    } else if (command_is(&order, "zero")) {
      check_zero(mib);
    } else if (command_is(&order, "deflate")) {
      balloon_deflate(balloon, kStart, mib * PAGES_PER_MIB);
    } else if (command_is(&order, "report")) {
      balloon_give_range(&balloon[BALLOON_REPORTING], kStart, mib << 20);
    } else if (command_is(&order, "hint")) {
      hint(mib);
    } else if (command_is(&order, "statistics")) {
      send_statistics();
    }
    print("balloon: target=%u actual=%u\nballoon: %s done\n", virtio_config32(balloon, BALLOON_CONFIG_TARGET),
          virtio_config32(balloon, BALLOON_CONFIG_ACTUAL), order.word);
  }
}
