// Requests of the hot-pluggable memory allocate nothing. Slots come and go with KVM; those of the test keep a std::set,
// so what is counted leaves the first block of a slot and the last one out.
#include <catch2/catch.hpp>

#include "tests/fakes/counted_new.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/unit/mem/mem_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("mem: no allocation for plugging, unplugging, asking and refusing") {
  silence_log();
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 0, 1) == kAck);  // the slot is there from now on
  std::uint64_t allocated = 0;
  const auto ask = [&](std::uint16_t type, std::uint64_t first, std::uint16_t count) {
    rig.put_request(type, kHot + first * kBlock, count);
    rig.queue.offer(ChainBuilder(rig.queue, 0).readable(kRequest, 24).writable(kAnswer, 10).build());
    const std::uint64_t before = allocation_count;
    while (rig.device->on_queue(0)) {
    }
    allocated += allocation_count - before;
    return rig.answer();
  };
  CHECK(ask(kPlug, 1, 8) == kAck);
  CHECK(ask(kState, 0, 9) == kAck);
  CHECK(ask(kUnplug, 1, 8) == kAck);
  CHECK(ask(kUnplug, 1, 8) == kErr);
  CHECK(ask(99, 1, 8) == kErr);
  CHECK(allocated == 0);
  CHECK(allocation_count > 0);  // the counter counts
}
