// The data path of the persistent memory device allocates nothing.
#include <catch2/catch.hpp>

#include "tests/fakes/counted_new.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/unit/pmem/pmem_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("pmem: no allocation for any flush, answered, failed, refused or throttled") {
  silence_log();
  PmemRig rig({std::nullopt, TokenBucketConfig{1, 10, std::nullopt}});
  for (int round = 0; round < 3; ++round) {
    rig.file->failure = round == 2 ? EIO : 0;
    rig.offer(0);
    rig.offer(2, 99);                                                                // of no known type
    rig.queue.offer(ChainBuilder(rig.queue, 4).writable(kResults + 16, 4).build());  // nothing asked
    const std::uint64_t before = allocation_count;
    rig.kick();
    CHECK(allocation_count == before);
    rig.offer(6);  // has to wait: flushes that come later cost an operation of their own
    const std::uint64_t later = allocation_count;
    rig.kick();
    rig.clock.now += 10'000'000;
    rig.wait_for_event();
    rig.kick();
    CHECK(allocation_count == later);
    rig.clock.now += 10'000'000;
  }
  CHECK(rig.file->syncs > 0);
  CHECK(rig.queue.take_all_used().size() == 12);
  CHECK(rig.device->metrics().rate_limiter_throttled_events.total() > 0);
  CHECK(allocation_count > 0);  // the counter counts
}
