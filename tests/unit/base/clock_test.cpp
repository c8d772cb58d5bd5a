#include "vmm/base/clock.h"

#include <catch2/catch.hpp>

#include "tests/fakes/fake_clock.h"

namespace wisp {

TEST_CASE("a stopwatch rounds up, so that what happened never took nothing") {
  fakes::FakeClock clock;
  const Stopwatch watch(clock);
  CHECK(watch.elapsed_us() == 0);
  clock.now += 1;
  CHECK(watch.elapsed_us() == 1);
  clock.now += 999;
  CHECK(watch.elapsed_us() == 1);
  clock.now += 1;
  CHECK(watch.elapsed_us() == 2);
}

}  // namespace wisp
