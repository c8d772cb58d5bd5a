// The runtime of the test guests: what a tiny kernel needs to find its devices and report on the serial line.
//
// A guest defines guest_main(); it runs on vCPU 0 in 64-bit mode with interrupts off, general registers only, the first
// 4 GiB of addresses mapped to themselves. Returning from guest_main() prints GUEST-DONE and resets the machine through
// the keyboard controller, which ends the monitor with exit code 0.
//
//   void guest_main(const struct boot_info* boot) {
//     print("cmdline: %s\n", boot->command_line);
//   }
//
// Keep work small: on a host without hardware virtualisation this code is interpreted, at about 3 million instructions
// a second.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { COM1 = 0x3f8, KEYBOARD_DATA = 0x60, KEYBOARD_COMMAND = 0x64 };
enum { MAX_MEMORY_RANGES = 32, MAX_VIRTIO_DEVICES = 32 };
enum memory_type { MEMORY_RAM = 1, MEMORY_RESERVED = 2 };
enum boot_protocol { BOOT_PVH = 1, BOOT_LINUX64 = 2 };

struct memory_range {
  uint64_t start, size;
  uint32_t type;
};

struct virtio_slot {
  uint64_t base;
  uint32_t interrupt;
};

// What the monitor has handed over, whichever the boot protocol.
struct boot_info {
  enum boot_protocol protocol;
  const char* command_line;
  struct memory_range ranges[MAX_MEMORY_RANGES];
  unsigned range_count;
  struct virtio_slot slots[MAX_VIRTIO_DEVICES];  // from virtio_mmio.device= on the command line, in order
  unsigned slot_count;
};

// The guest's own program.
void guest_main(const struct boot_info* boot);

// Reports. print() knows %s %u (32-bit) %x (64-bit) %c and %%.
void print(const char* format, ...);
void put_char(char c);
// Prints "GUEST-FAILED: " and the text, then resets: the host sees no GUEST-DONE.
__attribute__((noreturn)) void fail(const char* format, ...);
__attribute__((noreturn)) void reset_machine(void);
__attribute__((noreturn)) void halt_forever(void);

// The value of "name=" on the command line, copied to `out`; 0 when absent.
int command_line_value(const struct boot_info* boot, const char* name, char* out, size_t size);

int text_equal(const char* a, const char* b);
void* memset(void* target, int value, size_t size);
void* memcpy(void* target, const void* source, size_t size);
int memcmp(const void* a, const void* b, size_t size);

// Has the time given for something that must happen passed? Counted in TSC ticks, so 4 to 20 s.
struct deadline {
  uint64_t end;
};
struct deadline deadline_start(void);
int deadline_passed(const struct deadline* deadline);

// Maps the 2 MiB around a physical address at or above 4 GiB and returns where it can be touched.
volatile uint64_t* map_high_window(uint64_t physical);

// A gate in the interrupt table, then interrupts from an I/O APIC line to that vector on this processor.
enum { DEVICE_VECTOR = 0x40 };
extern volatile uint32_t interrupt_count;
void enable_device_interrupt(uint32_t line);
void disable_device_interrupt(uint32_t line);

static inline void out8(uint16_t port, uint8_t v) {
  __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void out16(uint16_t port, uint16_t v) {
  __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t v) {
  __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline uint8_t in8(uint16_t port) {
  uint8_t v;
  __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
  return v;
}
static inline uint16_t in16(uint16_t port) {
  uint16_t v;
  __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
  return v;
}
static inline uint32_t in32(uint16_t port) {
  uint32_t v;
  __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
  return v;
}
// One access of exactly this width: inline assembly, because a compiler may merge or split what C says.
static inline uint8_t load8(uint64_t at) {
  uint8_t v;
  __asm__ volatile("movb (%1), %0" : "=q"(v) : "r"(at) : "memory");
  return v;
}
static inline uint16_t load16(uint64_t at) {
  uint16_t v;
  __asm__ volatile("movw (%1), %0" : "=r"(v) : "r"(at) : "memory");
  return v;
}
static inline uint32_t load32(uint64_t at) {
  uint32_t v;
  __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
  return v;
}
static inline uint64_t load64(uint64_t at) {
  uint64_t v;
  __asm__ volatile("movq (%1), %0" : "=r"(v) : "r"(at) : "memory");
  return v;
}
static inline void store8(uint64_t at, uint8_t v) {
  __asm__ volatile("movb %0, (%1)" ::"q"(v), "r"(at) : "memory");
}
static inline void store16(uint64_t at, uint16_t v) {
  __asm__ volatile("movw %0, (%1)" ::"r"(v), "r"(at) : "memory");
}
static inline void store32(uint64_t at, uint32_t v) {
  __asm__ volatile("movl %0, (%1)" ::"r"(v), "r"(at) : "memory");
}
static inline void store64(uint64_t at, uint64_t v) {
  __asm__ volatile("movq %0, (%1)" ::"r"(v), "r"(at) : "memory");
}

static inline uint64_t read_tsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return ((uint64_t)high << 32) | low;
}
static inline void relax(void) {
  __asm__ volatile("pause" ::: "memory");
}
static inline void full_barrier(void) {
  __asm__ volatile("lock addl $0, (%%rsp)" ::: "memory");
}
