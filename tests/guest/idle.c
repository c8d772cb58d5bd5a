// Says that it is up and sleeps with interrupts off: a guest that never asks for anything.
#include "runtime/guest.h"

void guest_main(const struct boot_info* boot) {
  (void)boot;
  print("GUEST-UP\n");
  halt_forever();
}
