// Page frames that the guest gives back, in every shape.
#include <catch2/catch.hpp>

#include "tests/unit/balloon/balloon_rig.h"

namespace wisp {
namespace {

using namespace fakes;

constexpr std::uint32_t kFreeFrame = kFree / kPage;

TEST_CASE("Inflated pages leave the host and read as zeros; their neighbours stay") {
  BalloonRig rig;
  rig.guest.fill(kFree, 16 * kPage, 0x5a);
  REQUIRE(rig.resident(kFree, 16) == 16);

  rig.inflate({kFreeFrame + 5, kFreeFrame + 3, kFreeFrame + 4, kFreeFrame + 9, kFreeFrame + 4});

  CHECK(rig.queues[0].take_used() == Used{0, 0});
  CHECK(rig.resident(kFree, 16) == 12);
  CHECK(rig.guest.holds(kFree + 3 * kPage, 3 * kPage, 0));
  CHECK(rig.guest.holds(kFree + 9 * kPage, kPage, 0));
  CHECK(rig.guest.holds(kFree, 3 * kPage, 0x5a));
  CHECK(rig.guest.holds(kFree + 6 * kPage, 3 * kPage, 0x5a));
  CHECK(rig.device->metrics().inflate_count.total() == 1);
  CHECK(rig.device->metrics().event_fails.total() == 0);
}

TEST_CASE("L-01, L-02: page frames outside memory touch nothing, not even where 32 bits would wrap to") {
  BalloonRig rig;
  rig.guest.fill(kFree, 16 * kPage, 0x5a);
  // frame << 12 in 32 bits: 0x100200 << 12 would be kFree.
  const std::uint32_t wrapping = 0x100000 + kFreeFrame;
  rig.inflate({wrapping, 0, kFirstFrame - 1, kFirstFrame + kRamPages, 0xffffffff, kFreeFrame + 2});

  CHECK(rig.queues[0].take_used() == Used{0, 0});
  CHECK(rig.device->metrics().event_fails.total() == 5);
  CHECK(rig.resident(kFree, 16) == 15);
  CHECK(rig.guest.holds(kFree, 2 * kPage, 0x5a));
  CHECK(rig.guest.holds(kFree + 3 * kPage, 13 * kPage, 0x5a));
}

TEST_CASE("L-03: a list of any length is worked through in bounded turns and comes back once") {
  BalloonRig rig;
  constexpr std::uint32_t kFrames = 3 * 4096 + 100;  // 49 KiB; many frames are named again and again
  rig.guest.fill(kFree, 64 * kPage, 0x5a);
  for (std::uint32_t index = 0; index < kFrames; ++index) {
    rig.guest.put(kList + index * std::uint64_t{4}, kFreeFrame + index % 64, 4);
  }
  rig.queues[0].offer(
      ChainBuilder(rig.queues[0], 0).readable(kList, 100).readable(kList + 100, kFrames * 4 - 100).build());

  const int turns = rig.kick(0);

  CHECK(turns >= 4);
  CHECK(rig.queues[0].take_all_used().size() == 1);
  CHECK(rig.resident(kFree, 64) == 0);
  CHECK(rig.device->metrics().inflate_count.total() == 1);
}

TEST_CASE("A list that is quiesced half-way is put back and taken up again") {
  BalloonRig rig;
  constexpr std::uint32_t kFrames = 3 * 4096;
  rig.guest.fill(kFree, 64 * kPage, 0x5a);
  for (std::uint32_t index = 0; index < kFrames; ++index) {
    rig.guest.put(kList + index * std::uint64_t{4}, kFreeFrame + index / 192, 4);
  }
  rig.queues[0].offer(ChainBuilder(rig.queues[0], 0).readable(kList, kFrames * 4).build());
  REQUIRE(rig.device->on_queue(0));
  REQUIRE(rig.device->queue(0)->in_flight_count() == 1);

  rig.device->quiesce();
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
  CHECK(rig.device->queue(0)->next_available() == 0);
  CHECK_FALSE(rig.queues[0].take_used());
  rig.device->resume();
  rig.kick(0);

  CHECK(rig.queues[0].take_all_used().size() == 1);
  CHECK(rig.resident(kFree, 64) == 0);
  CHECK(rig.device->metrics().inflate_count.total() == 1);
}

TEST_CASE("A reset half-way through a list touches guest memory no more") {
  BalloonRig rig;
  rig.guest.put(kList, kFreeFrame, 4);
  for (std::uint32_t index = 1; index < 3 * 4096; ++index) {
    rig.guest.put(kList + index * std::uint64_t{4}, kFreeFrame + 1, 4);
  }
  rig.queues[0].offer(ChainBuilder(rig.queues[0], 0).readable(kList, 3 * 4096 * 4).build());
  REQUIRE(rig.device->on_queue(0));
  rig.device->reset();
  CHECK_FALSE(rig.device->on_queue(0));
  CHECK_FALSE(rig.queues[0].take_used());
  CHECK(rig.device->queue(0) == nullptr);
}

TEST_CASE("Malformed lists come back with length 0, are counted and give nothing back") {
  const std::size_t queue = GENERATE(std::size_t{0}, std::size_t{1});
  BalloonRig rig;
  rig.guest.fill(kFree, 16 * kPage, 0x5a);
  rig.guest.put(kList, kFreeFrame, 4);
  FakeQueue& ring = rig.queues[queue];
  const std::uint64_t end = kRamStart + kRamPages * kPage;
  SECTION("no bytes") {
    ring.offer(ChainBuilder(ring, 0).readable(kList, 0).build());
  }
  SECTION("part of a number") {
    ring.offer(ChainBuilder(ring, 0).readable(kList, 6).build());
  }
  SECTION("writable") {
    ring.offer(ChainBuilder(ring, 0).writable(kList, 8).build());
  }
  SECTION("outside memory") {
    ring.offer(ChainBuilder(ring, 0).readable(kList, 4).readable(end - 2, 4).build());
  }
  SECTION("the far end") {
    ring.offer(ChainBuilder(ring, 0).readable(~std::uint64_t{0} - 3, 4).build());
  }
  SECTION("readable behind writable") {
    ring.offer(ChainBuilder(ring, 0).writable(kList + 64, 4).readable(kList, 4).build());
  }
  rig.kick(queue);

  CHECK(ring.take_used() == Used{0, 0});
  CHECK(rig.device->metrics().event_fails.total() == 1);
  CHECK(rig.device->metrics().inflate_count.total() + rig.device->metrics().deflate_count.total() == 0);
  CHECK(rig.guest.holds(kFree, 16 * kPage, 0x5a));
  CHECK(rig.signals.needs_reset_count == 0);
}

TEST_CASE("Deflated pages are acknowledged and nothing changes") {
  BalloonRig rig;
  rig.guest.fill(kFree, 4 * kPage, 0x5a);
  rig.inflate({kFreeFrame, kFreeFrame + 1}, 1);
  CHECK(rig.queues[1].take_used() == Used{0, 0});
  CHECK(rig.device->metrics().deflate_count.total() == 1);
  CHECK(rig.guest.holds(kFree, 4 * kPage, 0x5a));
}

TEST_CASE("The page that holds the list or the rings may be given back, too") {
  BalloonRig rig;
  rig.inflate({kList / kPage, kRings / kPage, (kRings + 0x2000) / kPage});
  CHECK(rig.signals.needs_reset_count == 0);
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
}

TEST_CASE("A broken ring asks for a reset and nothing is served until then") {
  BalloonRig rig;
  rig.queues[0].offer(900);
  rig.kick(0);
  CHECK(rig.signals.needs_reset_count == 1);
  rig.inflate({kFreeFrame}, 1);
  CHECK_FALSE(rig.queues[1].take_used());
}

TEST_CASE("Unplugged memory is not touched, plugged memory is given back") {
  constexpr std::uint64_t kHot = 0x10000000, kBlock = 2 << 20;
  const GuestRange ram{GuestAddress(kRamStart), kRamPages * kPage};
  const GuestMemory memory = GuestMemory::create(std::span(&ram, 1), PageBacking::Normal,
                                                 HotplugRange{{GuestAddress(kHot), 4 * kBlock}, kBlock})
                                 .value();
  REQUIRE(memory.plug_blocks({GuestAddress(kHot), kBlock}, BlockContents::Zeroed));
  GuestView(memory).fill(kHot + kBlock - 4 * kPage, 4 * kPage, 0x5a);
  PageReleaser releaser;
  ReleaseTotals totals;
  for (std::uint32_t frame = (kHot + kBlock) / kPage - 2; frame < (kHot + kBlock) / kPage + 2; ++frame) {
    releaser.add(frame);
  }
  releaser.release(memory, totals);
  CHECK(totals.freed_bytes == 2 * kPage);
  CHECK(totals.outside_count == 2);
  CHECK(resident_pages(memory, {GuestAddress(kHot), kBlock}) == 2);
}

}  // namespace
}  // namespace wisp
