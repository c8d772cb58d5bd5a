// The paravirtual clock (Linux Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW), which Linux takes as its
// clock source. "look" prints "clock: ns=<nanoseconds since the machine began>". "quit".
#include "runtime/command.h"

enum { SYSTEM_TIME_MSR = 0x4b564d01, ENABLED = 1 };

static volatile struct {
  uint32_t version, unused;
  uint64_t tsc_timestamp, system_time_ns;
  uint32_t tsc_to_system_multiplier;
  int8_t tsc_shift;
  uint8_t flags, unused_too[2];
} time_info __attribute__((aligned(32)));

static void write_msr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static uint64_t read_clock_ns(void) {
  for (;;) {
    const uint32_t version = time_info.version;
    const uint64_t ticks = read_tsc() - time_info.tsc_timestamp;
    const int shift = time_info.tsc_shift;
    const uint64_t shifted = shift < 0 ? ticks >> -shift : ticks << shift;
    const uint64_t ns = (uint64_t)((unsigned __int128)shifted * time_info.tsc_to_system_multiplier >> 32);
    const uint64_t time_ns = time_info.system_time_ns + ns;
    if (version != 0 && version % 2 == 0 && version == time_info.version) {
      return time_ns;
    }
  }
}

void guest_main(const struct boot_info* boot) {
  (void)boot;
  struct command order;
  write_msr(SYSTEM_TIME_MSR, (uint64_t)&time_info | ENABLED);
  print("GUEST-UP\n");
  while (command_next(&order), !command_is(&order, "quit")) {
    print("clock: ns=%x\n", read_clock_ns());
    print("clock: %s done\n", order.word);
  }
}
