// The smallest TCP that can fetch a metadata value: one connection, one segment at a time, nothing is lost.
#pragma once

#include "runtime/net.h"

// GETs `path` from 169.254.169.254 and prints "mmds: <status line> / <last line of the answer>". Needs a posted card.
void tcp_fetch(struct net_card* card, const char* path);
