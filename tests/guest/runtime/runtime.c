#include "runtime/guest.h"

#include <stdarg.h>

enum { SERIAL_LINE_STATUS = 5, SERIAL_TRANSMITTER_EMPTY = 0x20 };
static const uint64_t kTimeoutTicks = 20ULL * 1000 * 1000 * 1000;

void put_char(char c) {
  while ((in8(COM1 + SERIAL_LINE_STATUS) & SERIAL_TRANSMITTER_EMPTY) == 0) {
    relax();
  }
  out8(COM1, (uint8_t)c);
}

static void put_text(const char* text) {
  while (*text != 0) {
    put_char(*text++);
  }
}

static void put_number(uint64_t value, unsigned base) {
  char digits[24];
  unsigned count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  while (count != 0) {
    put_char(digits[--count]);
  }
}

static void print_arguments(const char* format, va_list arguments) {
  for (; *format != 0; ++format) {
    if (*format != '%') {
      put_char(*format);
      continue;
    }
    switch (*++format) {
      case 's': put_text(va_arg(arguments, const char*)); break;
      case 'u': put_number(va_arg(arguments, uint32_t), 10); break;
      case 'c': put_char((char)va_arg(arguments, int)); break;
      case 'x': put_number(va_arg(arguments, uint64_t), 16); break;
      default: put_char('%'); break;
    }
  }
}

void print(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print_arguments(format, arguments);
  va_end(arguments);
}

void fail(const char* format, ...) {
  va_list arguments;
  put_text("GUEST-FAILED: ");
  va_start(arguments, format);
  print_arguments(format, arguments);
  va_end(arguments);
  put_char('\n');
  reset_machine();
}

void halt_forever(void) {
  for (;;) {
    __asm__ volatile("cli; hlt");
  }
}

void reset_machine(void) {
  out8(KEYBOARD_COMMAND, 0xfe);
  halt_forever();
}

void* memset(void* target, int value, size_t size) {
  void* at = target;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
  return target;
}

void* memcpy(void* target, const void* source, size_t size) {
  void* at = target;
  __asm__ volatile("rep movsb" : "+D"(at), "+S"(source), "+c"(size)::"memory");
  return target;
}

int memcmp(const void* a, const void* b, size_t size) {
  const uint8_t* left = a;
  const uint8_t* right = b;
  for (; size != 0; --size, ++left, ++right) {
    if (*left != *right) {
      return *left - *right;
    }
  }
  return 0;
}

int text_equal(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

struct deadline deadline_start(void) {
  return (struct deadline){read_tsc() + kTimeoutTicks};
}

int deadline_passed(const struct deadline* deadline) {
  return read_tsc() > deadline->end;
}
