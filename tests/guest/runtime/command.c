#include "runtime/command.h"

enum { LINE_SIZE = 80, SERIAL_LINE_STATUS = 5, SERIAL_DATA_READY = 1 };

int command_waiting(void) {
  return (in8(COM1 + SERIAL_LINE_STATUS) & SERIAL_DATA_READY) != 0;
}

static void read_line(char* line) {
  unsigned used = 0;
  for (;;) {
    while (!command_waiting()) {
      relax();
    }
    const char c = (char)in8(COM1);
    if (c == '\n') {
      line[used] = 0;
      return;
    }
    if (used + 1 < LINE_SIZE) {
      line[used++] = c;
    }
  }
}

void command_next(struct command* command) {
  char line[LINE_SIZE];
  const char* at = line;
  unsigned used = 0;
  read_line(line);
  memset(command, 0, sizeof *command);
  while (*at != 0 && *at != ' ') {
    if (used + 1 < COMMAND_WORD_SIZE) {
      command->word[used++] = *at;
    }
    ++at;
  }
  for (unsigned i = 0; i < COMMAND_NUMBERS && *at == ' '; ++i) {
    for (++at; *at >= '0' && *at <= '9'; ++at) {
      command->numbers[i] = command->numbers[i] * 10 + (uint32_t)(*at - '0');
    }
  }
}

int command_is(const struct command* command, const char* word) {
  return text_equal(command->word, word);
}
