// Waits for Ctrl-Alt-Del from the keyboard controller (set 2 make codes, as SendCtrlAltDel sends them), then resets.
#include "runtime/guest.h"

enum { OUTPUT_FULL = 1 };

static uint8_t next_scan_code(void) {
  while ((in8(KEYBOARD_COMMAND) & OUTPUT_FULL) == 0) {
    relax();
  }
  return in8(KEYBOARD_DATA);
}

void guest_main(const struct boot_info* boot) {
  static const uint8_t wanted[] = {0x14, 0x11, 0xe0, 0x71};
  (void)boot;
  print("GUEST-UP\n");
  for (unsigned i = 0; i < sizeof wanted; ++i) {
    const uint8_t code = next_scan_code();
    if (code != wanted[i]) {
      fail("scan code 0x%x instead of 0x%x", (uint64_t)code, (uint64_t)wanted[i]);
    }
  }
  print("ctrl-alt-del\n");
}
