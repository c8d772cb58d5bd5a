// Orders from the host: lines on the serial input, such as "plug 4". A probe prints what it has done, and waits for the
// next one.
//
//   struct command order;
//   while (command_next(&order), !command_is(&order, "quit")) { ... order.numbers[0] ... }
#pragma once

#include "runtime/guest.h"

enum { COMMAND_WORD_SIZE = 24, COMMAND_NUMBERS = 3 };

struct command {
  char word[COMMAND_WORD_SIZE];
  uint32_t numbers[COMMAND_NUMBERS];  // zero when not given
};

// Has the host sent something?
int command_waiting(void);
// Reads one line, waiting as long as it takes.
void command_next(struct command* command);
int command_is(const struct command* command, const char* word);
