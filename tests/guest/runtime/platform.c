// Start-up in C: the two boot protocols' structures become one boot_info; exceptions and one device interrupt.
#include "runtime/guest.h"

enum { IDT_ENTRIES = 80, KERNEL_CODE = 0x08, INTERRUPT_GATE = 0x8e };
enum { EXCEPTION_COUNT = 32, EXCEPTION_ENTRY_SIZE = 16 };
static const uint64_t kLocalApic = 0xfee00000;
static const uint64_t kIoApic = 0xfec00000;
static const uint64_t kHighWindow = 0x100000000;  // the fifth entry of page_directory_pointers

struct idt_gate {
  uint16_t offset_low, selector;
  uint8_t stack_table, kind;
  uint16_t offset_middle;
  uint32_t offset_high, zero;
};
struct __attribute__((packed)) table_pointer {
  uint16_t limit;
  uint64_t base;
};

extern const char exception_entries[], interrupt_entry[];
extern uint64_t high_window_directory[512], page_map_level4[512];
static struct idt_gate idt[IDT_ENTRIES];
static struct boot_info info;

static void set_gate(unsigned vector, uint64_t target) {
  idt[vector] = (struct idt_gate){
      (uint16_t)target, KERNEL_CODE, 0, INTERRUPT_GATE, (uint16_t)(target >> 16), (uint32_t)(target >> 32), 0};
}

static void load_interrupt_table(void) {
  const struct table_pointer pointer = {sizeof idt - 1, (uint64_t)idt};
  for (unsigned vector = 0; vector < EXCEPTION_COUNT; ++vector) {
    set_gate(vector, (uint64_t)exception_entries + vector * EXCEPTION_ENTRY_SIZE);
  }
  set_gate(DEVICE_VECTOR, (uint64_t)interrupt_entry);
  __asm__ volatile("lidt %0" ::"m"(pointer) : "memory");
}

__attribute__((noreturn)) void guest_fault(uint64_t vector, uint64_t code, uint64_t address, uint64_t cr2);
void guest_fault(uint64_t vector, uint64_t code, uint64_t address, uint64_t cr2) {
  fail("exception %u code 0x%x at 0x%x cr2 0x%x", (uint32_t)vector, code, address, cr2);
}

static void io_apic_write(uint32_t index, uint32_t value) {
  store32(kIoApic, index);
  store32(kIoApic + 0x10, value);
}

void enable_device_interrupt(uint32_t line) {
  out8(0x21, 0xff);  // the two old controllers stay silent: a line goes to them too
  out8(0xa1, 0xff);
  store32(kLocalApic + 0xf0, 0x1ff);              // software enable, spurious vector 0xff
  store32(kLocalApic + 0x80, 0);                  // accept every priority
  io_apic_write(0x10 + 2 * line + 1, 0);          // to APIC id 0
  io_apic_write(0x10 + 2 * line, DEVICE_VECTOR);  // edge, active high, fixed, not masked
  __asm__ volatile("sti" ::: "memory");
}

void disable_device_interrupt(uint32_t line) {
  __asm__ volatile("cli" ::: "memory");
  io_apic_write(0x10 + 2 * line, 1u << 16);
}

volatile uint64_t* map_high_window(uint64_t physical) {
  const uint64_t page_mask = 0x1fffff;
  high_window_directory[0] = (physical & ~page_mask) | 0x87;
  __asm__ volatile("mov %0, %%cr3" ::"r"((uint64_t)page_map_level4) : "memory");
  return (volatile uint64_t*)(kHighWindow + (physical & page_mask));
}

static uint32_t parse_number(const char** text) {
  uint32_t value = 0;
  for (; **text >= '0' && **text <= '9'; ++*text) {
    value = value * 10 + (uint32_t)(**text - '0');
  }
  return value;
}

static uint64_t parse_hex(const char** text) {
  uint64_t value = 0;
  for (;; ++*text) {
    const char c = **text;
    if (c >= '0' && c <= '9') {
      value = value * 16 + (uint64_t)(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + (uint64_t)(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

// Where the value of the next "name=" word at or after `text` starts; null when there is none.
static const char* find_value(const char* text, const char* name) {
  while (*text != 0) {
    const char* word = text;
    const char* wanted = name;
    while (*wanted != 0 && *word == *wanted) {
      ++word;
      ++wanted;
    }
    if (*wanted == 0 && *word == '=') {
      return word + 1;
    }
    while (*text != 0 && *text != ' ') {
      ++text;
    }
    while (*text == ' ') {
      ++text;
    }
  }
  return 0;
}

int command_line_value(const struct boot_info* boot, const char* name, char* out, size_t size) {
  const char* value = find_value(boot->command_line, name);
  size_t used = 0;
  if (value == 0) {
    return 0;
  }
  while (*value != 0 && *value != ' ' && used + 1 < size) {
    out[used++] = *value++;
  }
  out[used] = 0;
  return 1;
}

// virtio_mmio.device=4K@0x<address>:<interrupt>, one word per device.
static void find_virtio_slots(void) {
  const char* at = info.command_line;
  while ((at = find_value(at, "virtio_mmio.device")) != 0 && info.slot_count < MAX_VIRTIO_DEVICES) {
    struct virtio_slot slot = {0, 0};
    if (memcmp(at, "4K@0x", 5) != 0) {
      fail("virtio_mmio.device= of an unknown form: %s", at);
    }
    at += 5;
    slot.base = parse_hex(&at);
    if (*at != ':') {
      fail("virtio_mmio.device= without an interrupt: %s", at);
    }
    ++at;
    slot.interrupt = parse_number(&at);
    info.slots[info.slot_count++] = slot;
  }
}

static void add_range(uint64_t start, uint64_t size, uint32_t type) {
  if (info.range_count < MAX_MEMORY_RANGES) {
    info.ranges[info.range_count++] = (struct memory_range){start, size, type};
  }
}

static void read_pvh(uint64_t start_info) {
  if (load32(start_info) != 0x336ec578) {
    fail("start_info has magic 0x%x", (uint64_t)load32(start_info));
  }
  info.command_line = (const char*)load64(start_info + 24);
  const uint64_t map = load64(start_info + 40);
  const uint32_t count = load32(start_info + 48);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t entry = map + 24 * i;
    add_range(load64(entry), load64(entry + 8), load32(entry + 16));
  }
}

static void read_zero_page(uint64_t page) {
  if (load32(page + 0x202) != 0x53726448 || load16(page + 0x1fe) != 0xaa55) {
    fail("the zero page has no setup header");
  }
  info.command_line = (const char*)(uint64_t)load32(page + 0x228);
  const uint32_t count = load8(page + 0x1e8);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t entry = page + 0x2d0 + 20 * i;
    add_range(load64(entry), load64(entry + 8), load32(entry + 16));
  }
}

void guest_start(uint32_t protocol, uint64_t boot_structure);
void guest_start(uint32_t protocol, uint64_t boot_structure) {
  load_interrupt_table();
  info.protocol = (enum boot_protocol)protocol;
  if (info.protocol == BOOT_PVH) {
    read_pvh(boot_structure);
  } else {
    read_zero_page(boot_structure);
  }
  find_virtio_slots();
  guest_main(&info);
  print("GUEST-DONE\n");
  reset_machine();
}
