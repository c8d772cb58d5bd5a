// A triple fault: an exception without an interrupt table.
#include "runtime/guest.h"

void guest_main(const struct boot_info* boot) {
  static const struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } none = {0, 0};
  (void)boot;
  print("GUEST-UP\n");
  __asm__ volatile("lidt %0; ud2" ::"m"(none));
  halt_forever();
}
