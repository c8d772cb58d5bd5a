// Starts every processor that the MADT lists; each adds one to a counter. Prints "cpus: N".
#include "runtime/processors.h"

static volatile uint32_t counter;

static void count_in(unsigned index) {
  (void)index;
  __asm__ volatile("lock incl %0" : "+m"(counter)::"memory");
}

void guest_main(const struct boot_info* boot) {
  (void)boot;
  print("GUEST-UP\n");
  const struct acpi_summary acpi = read_acpi();
  const struct deadline deadline = deadline_start();
  count_in(0);
  const unsigned running = start_processors(&acpi, count_in);
  while (counter != running) {
    if (deadline_passed(&deadline)) {
      fail("%u processors run, %u have counted", running, counter);
    }
    relax();
  }
  print("cpus: %u\n", counter);
}
