// What a guest sees of being restored. "look" prints "generation: id=<16 bytes> marker=<VMClock's disruption marker>
// counter=<its generation counter> interrupts=<n>"; interrupts are those of the line on the command line (line=22 is
// VMGenID's, line=23 VMClock's), counted from the start on. "quit".
#include "runtime/command.h"

enum { IDENTIFIER = 0xdfff0, CLOCK_MARKER = 0xde010, CLOCK_GENERATION = 0xde068 };

void guest_main(const struct boot_info* boot) {
  struct command order;
  char line[3];
  if (!command_line_value(boot, "line", line, sizeof line)) {
    fail("generation: which line?");
  }
  enable_device_interrupt((uint32_t)(line[0] - '0') * 10 + (uint32_t)(line[1] - '0'));
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    print("generation: id=%x.%x marker=%x counter=%x interrupts=%u\n", load64(IDENTIFIER), load64(IDENTIFIER + 8),
          load64(CLOCK_MARKER), load64(CLOCK_GENERATION), interrupt_count);
    print("generation: %s done\n", order.word);
  }
}
