// Sends back what arrives on the serial line, until a 'q'.
#include "runtime/guest.h"

enum { LINE_STATUS = 5, DATA_READY = 1 };

void guest_main(const struct boot_info* boot) {
  (void)boot;
  print("GUEST-UP\n");
  for (char c = 0; c != 'q';) {
    while ((in8(COM1 + LINE_STATUS) & DATA_READY) == 0) {
      relax();
    }
    c = (char)in8(COM1);
    put_char(c);
  }
  print("\necho: done\n");
}
