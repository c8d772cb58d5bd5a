// The data path of the balloon allocates nothing.
#include <catch2/catch.hpp>

#include "tests/fakes/counted_new.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/unit/balloon/balloon_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("balloon: no allocation for lists, statistics, hints and reports, whole or malformed") {
  silence_log();
  constexpr std::size_t kInflate = 0, kDeflate = 1, kStats = 2, kHint = 3, kReport = 4;
  BalloonRig rig(BalloonConfig{.amount_mib = 1,
                               .deflate_on_oom = true,
                               .stats_polling_interval_s = 5,
                               .free_page_hinting = true,
                               .free_page_reporting = true});
  REQUIRE(rig.device->start_hinting(HintingStop::Acknowledge).ok());
  for (std::uint32_t index = 0; index < 1024; ++index) {  // backwards, with gaps, and some outside memory
    rig.guest.put(kList + index * 4, kFirstFrame + 1200 - index * 2 % 1000, 4);
  }
  std::uint64_t allocated = 0;
  const auto serve = [&](std::size_t queue, const ChainBuilder& chain) {
    rig.queues[queue].offer(chain.build());
    const std::uint64_t before = allocation_count;
    rig.kick(queue);
    allocated += allocation_count - before;
  };
  const auto builder = [&](std::size_t queue) { return ChainBuilder(rig.queues[queue], 0); };
  serve(kInflate, builder(kInflate).readable(kList, 4096));
  serve(kInflate, builder(kInflate).readable(kList, 3));
  serve(kDeflate, builder(kDeflate).readable(kList, 4096));
  serve(kReport, builder(kReport).writable(kFree, 8 * kPage).writable(kFree + 64 * kPage, 8 * kPage));
  serve(kHint, builder(kHint).writable(kFree, kPage));
  rig.guest.put(kList, 2, 4);
  serve(kHint, builder(kHint).readable(kList, 4));
  serve(kHint, builder(kHint).writable(kFree + 32 * kPage, 4 * kPage));
  rig.guest.put(kList, 0, 4);
  serve(kHint, builder(kHint).readable(kList, 4));
  rig.put_statistic(0, 4, 1000);
  serve(kStats, builder(kStats).readable(kList, 10));
  CHECK(allocated == 0);
  CHECK(rig.device->metrics().free_page_hint_freed.total() > 0);
  CHECK(rig.device->metrics().stats_updates_count.total() == 1);
  CHECK(allocation_count > 0);  // the counter counts
}
