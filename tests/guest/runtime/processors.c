#include "runtime/processors.h"

enum { TRAMPOLINE_ADDRESS = 0x10000, TRAMPOLINE_VECTOR = TRAMPOLINE_ADDRESS >> 12, STACK_SIZE = 4096 };
enum { ICR_INIT = 0x4500, ICR_STARTUP = 0x4600, ICR_PENDING = 0x1000 };
static const uint64_t kLocalApic = 0xfee00000;

extern const char processor_trampoline[], processor_trampoline_end[];
uint8_t processor_stacks[MAX_PROCESSORS][STACK_SIZE] __attribute__((aligned(16)));
volatile uint32_t processors_running = 1;
static volatile processor_task current_task;

void processor_main(uint32_t index);
void processor_main(uint32_t index) {
  current_task(index);
  halt_forever();
}

static void send_command(uint32_t apic_id, uint32_t command) {
  store32(kLocalApic + 0x310, apic_id << 24);
  store32(kLocalApic + 0x300, command);
  while ((load32(kLocalApic + 0x300) & ICR_PENDING) != 0) {
    relax();
  }
}

static void start_processor(uint32_t apic_id) {
  const uint32_t before = processors_running;
  const struct deadline deadline = deadline_start();
  send_command(apic_id, ICR_INIT);
  while (processors_running == before) {
    send_command(apic_id, ICR_STARTUP | TRAMPOLINE_VECTOR);  // ignored by a processor that already runs
    for (unsigned spin = 0; spin < 10000 && processors_running == before; ++spin) {
      relax();
    }
    if (deadline_passed(&deadline)) {
      fail("the processor with APIC id %u does not start", apic_id);
    }
  }
}

unsigned start_processors(const struct acpi_summary* acpi, processor_task task) {
  const uint32_t own_id = load32(kLocalApic + 0x20) >> 24;
  memcpy((void*)TRAMPOLINE_ADDRESS, processor_trampoline, (size_t)(processor_trampoline_end - processor_trampoline));
  current_task = task;
  for (unsigned i = 0; i < acpi->processor_count; ++i) {
    if (acpi->apic_ids[i] != own_id) {
      start_processor(acpi->apic_ids[i]);
    }
  }
  return processors_running;
}

void run_as_user(void (*task)(void), void* stack_top) {
  __asm__ volatile("pushq $0x23\n pushq %1\n pushq $2\n pushq $0x2b\n pushq %0\n iretq\n"  // ss, rsp, rflags, cs, rip
                   ::"r"(task),
                   "r"((uint64_t)stack_top - 8)
                   : "memory");
  __builtin_unreachable();
}
