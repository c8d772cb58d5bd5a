// Prints the memory map it was given and proves the first and last page of each RAM range: written, read back,
// restored.
//
//   range <start> <size> <type>      one line each, as in the boot structure
//   ram <start> ok
//   ram-total-pages <n>
#include "runtime/guest.h"

enum { PAGE_SIZE = 4096 };
static const uint64_t kFourGib = 1ULL << 32;

static volatile uint64_t* reach(uint64_t physical) {
  return physical < kFourGib ? (volatile uint64_t*)physical : map_high_window(physical);
}

static void prove_page(uint64_t physical) {
  const uint64_t pattern = 0x5a5aa5a5c3c33c3cULL ^ physical;
  volatile uint64_t* word = reach(physical);
  const uint64_t before = *word;
  *word = pattern;
  if (*word != pattern) {
    fail("ram at %x does not hold what is written", physical);
  }
  *word = before;
}

void guest_main(const struct boot_info* boot) {
  uint64_t page_count = 0;
  print("GUEST-UP\n");
  for (unsigned i = 0; i < boot->range_count; ++i) {
    const struct memory_range* range = &boot->ranges[i];
    print("range %x %x %u\n", range->start, range->size, range->type);
    if (range->type != MEMORY_RAM) {
      continue;
    }
    prove_page(range->start);
    prove_page((range->start + range->size - 8) & ~7ULL);
    print("ram %x ok\n", range->start);
    page_count += range->size / PAGE_SIZE;
  }
  print("ram-total-pages %u\n", (uint32_t)page_count);
}
