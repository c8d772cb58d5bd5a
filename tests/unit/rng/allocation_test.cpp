// The data path of the entropy device allocates nothing.
#include <catch2/catch.hpp>

#include "tests/fakes/counted_new.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/unit/rng/rng_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("rng: no allocation for any request, served by the host's generator, refused or throttled") {
  silence_log();
  RngRig rig;
  const TokenBucketConfig bandwidth{20'000, 10, std::nullopt};
  rig.adopt(RngDevice::create({{bandwidth, std::nullopt}}, *rig.loop, rig.clock));
  for (int round = 0; round < 3; ++round) {
    rig.offer(0, 16);
    rig.queue.offer(ChainBuilder(rig.queue, 1).readable(kBuffer, 16).build());  // nothing to fill
    rig.offer(2, 16 * 1024);
    rig.offer(3, 16 * 1024);  // has to wait
    const std::uint64_t before = allocation_count;
    rig.kick();
    rig.clock.now += 10'000'000;
    rig.wait_for_event();
    rig.kick();
    CHECK(allocation_count == before);
    rig.clock.now += 10'000'000;
  }
  CHECK(rig.queue.take_all_used().size() == 12);
  CHECK(rig.device->metrics().entropy_rate_limiter_throttled.total() > 0);
  CHECK(allocation_count > 0);  // the counter counts
}
