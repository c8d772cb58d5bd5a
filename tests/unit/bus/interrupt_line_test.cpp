#include "vmm/bus/interrupt_line.h"

#include <poll.h>

#include <catch2/catch.hpp>

namespace wisp {
namespace {

bool signalled(const InterruptLine& line) {
  pollfd query{line.event_fd().raw(), POLLIN, 0};
  return ::poll(&query, 1, 0) == 1;
}

TEST_CASE("Raising sets bits and signals; acknowledging clears the named bits only") {
  const auto line = InterruptLine::create().value();
  CHECK(line->status() == 0);
  CHECK_FALSE(signalled(*line));
  line->raise(1);
  line->raise(2);
  CHECK(line->status() == 3);
  CHECK(signalled(*line));
  line->acknowledge(1);
  CHECK(line->status() == 2);
  line->acknowledge(0xffffffff);
  CHECK(line->status() == 0);
}

TEST_CASE("Clearing forgets every bit") {
  const auto line = InterruptLine::create().value();
  line->raise(3);
  line->clear();
  CHECK(line->status() == 0);
}

}  // namespace
}  // namespace wisp
