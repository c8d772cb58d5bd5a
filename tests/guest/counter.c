// Prints a rising number for ever: shows whether the machine runs or is paused.
#include "runtime/guest.h"

void guest_main(const struct boot_info* boot) {
  (void)boot;
  print("GUEST-UP\n");
  for (uint32_t count = 0;; ++count) {
    print("count %u\n", count);
    for (unsigned spin = 0; spin < 2000; ++spin) {
      relax();
    }
  }
}
