// The hot-pluggable region of guest memory: what is memory, what is not, and what stale users of it may do.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/fakes/guest.h"
#include "tests/fakes/resident.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {
namespace {

using fakes::GuestView;
using fakes::resident_pages;

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kBlock = 2 * kMib;
constexpr std::uint64_t kHot = 0x10000000;
constexpr std::uint64_t kBlockCount = 70;  // more than one word of the block map

GuestRange blocks(std::uint64_t first, std::uint64_t count) {
  return {GuestAddress(kHot + first * kBlock), count * kBlock};
}

GuestMemory make_hot_memory() {
  const GuestRange ram{GuestAddress(0), kMib};
  return GuestMemory::create(std::span(&ram, 1), PageBacking::Normal, HotplugRange{blocks(0, kBlockCount), kBlock})
      .value();
}

bool is_memory(const GuestMemory& memory, std::uint64_t address, std::uint64_t length) {
  const bool readable = memory.readable(GuestAddress(address), length).has_value();
  CHECK(readable == memory.writable(GuestAddress(address), length).has_value());
  return readable;
}

TEST_CASE("The hot-pluggable region is listed last and starts with every block unplugged") {
  const GuestMemory memory = make_hot_memory();
  REQUIRE(memory.region_count() == 2);
  CHECK(memory.region_kind(0) == RegionKind::Ram);
  CHECK(memory.region_kind(1) == RegionKind::Hotplug);
  CHECK(memory.region_range(1).start == GuestAddress(kHot));
  REQUIRE(memory.hotplug());
  CHECK(memory.hotplug()->block_size_bytes == kBlock);
  CHECK(memory.plugged_bytes(blocks(0, kBlockCount)) == 0);
  CHECK_FALSE(is_memory(memory, kHot, 1));
  CHECK_FALSE(is_memory(memory, kHot + kBlockCount * kBlock - 1, 1));
  CHECK_FALSE(fakes::make_memory().hotplug().has_value());
}

TEST_CASE("Exactly the bytes of plugged blocks are memory") {
  const GuestMemory memory = make_hot_memory();
  REQUIRE(memory.plug_blocks(blocks(62, 4), BlockContents::Zeroed));
  const std::uint64_t start = kHot + 62 * kBlock;
  const std::uint64_t end = kHot + 66 * kBlock;

  CHECK(is_memory(memory, start, end - start));
  CHECK(is_memory(memory, end - 1, 1));
  CHECK(is_memory(memory, kHot + 64 * kBlock - 1, 2));  // across two blocks and two words of the map
  CHECK_FALSE(is_memory(memory, start - 1, 1));
  CHECK_FALSE(is_memory(memory, start - 1, 2));
  CHECK_FALSE(is_memory(memory, end - 1, 2));
  CHECK_FALSE(is_memory(memory, end, 1));
  CHECK_FALSE(is_memory(memory, start, 0));
  CHECK_FALSE(is_memory(memory, start, ~std::uint64_t{0}));
  CHECK(memory.plugged_bytes(blocks(0, kBlockCount)) == 4 * kBlock);
  CHECK(memory.is_plugged(blocks(62, 4)));
  CHECK_FALSE(memory.is_plugged(blocks(61, 2)));
  CHECK(memory.is_unplugged(blocks(0, 62)));
  CHECK_FALSE(memory.is_unplugged(blocks(60, 3)));
}

TEST_CASE("Unplugged blocks are outside memory, cost the host nothing and are zero when they come back") {
  const GuestMemory memory = make_hot_memory();
  const GuestView guest(memory);
  REQUIRE(memory.plug_blocks(blocks(0, 3), BlockContents::Zeroed));
  guest.fill(kHot, 3 * kBlock, 0x5a);
  REQUIRE(resident_pages(memory, blocks(0, 3)) == 3 * 512);

  const Discarded discarded = memory.unplug_blocks(blocks(1, 1));

  CHECK(discarded.done());
  CHECK(discarded.freed_bytes == kBlock);
  CHECK(resident_pages(memory, blocks(1, 1)) == 0);
  CHECK_FALSE(is_memory(memory, kHot + kBlock, 1));
  CHECK(guest.holds(kHot, kBlock, 0x5a));
  CHECK(guest.holds(kHot + 2 * kBlock, kBlock, 0x5a));
  REQUIRE(memory.plug_blocks(blocks(1, 1), BlockContents::Zeroed));
  CHECK(guest.holds(kHot + kBlock, kBlock, 0));
}

TEST_CASE("A slice from before the unplug can still be written, and the next plug shows none of it") {
  const GuestMemory memory = make_hot_memory();
  REQUIRE(memory.plug_blocks(blocks(5, 1), BlockContents::Zeroed));
  const auto stale = memory.writable(GuestAddress(kHot + 5 * kBlock + 0x1000), 0x2000);
  REQUIRE(stale);
  (void)memory.unplug_blocks(blocks(5, 1));

  stale->fill(std::byte{0x66});
  stale->store_release_u16(2, 7);

  CHECK(resident_pages(memory, blocks(5, 1)) == 2);  // what a stale slice can cost: its own pages
  REQUIRE(memory.plug_blocks(blocks(5, 1), BlockContents::Zeroed));
  CHECK(GuestView(memory).holds(kHot + 5 * kBlock, kBlock, 0));
}

TEST_CASE("Blocks of a snapshot are plugged with what they hold") {
  const GuestMemory memory = make_hot_memory();
  REQUIRE(memory.plug_blocks(blocks(2, 1), BlockContents::Zeroed));
  const auto slice = memory.writable(GuestAddress(kHot + 2 * kBlock), 16);
  REQUIRE(slice);
  (void)memory.unplug_blocks(blocks(2, 1));
  slice->fill(std::byte{0x11});  // as a snapshot's file would have it

  REQUIRE(memory.plug_blocks(blocks(2, 1), BlockContents::Kept));
  CHECK(GuestView(memory).holds(kHot + 2 * kBlock, 16, 0x11));
}

TEST_CASE("Unplugged blocks cannot be discarded, plugged ones can") {
  const GuestMemory memory = make_hot_memory();
  REQUIRE(memory.plug_blocks(blocks(0, 1), BlockContents::Zeroed));
  GuestView(memory).fill(kHot, 0x4000, 0x5a);
  CHECK(memory.discard({GuestAddress(kHot + kBlock), 0x1000}).outcome == DiscardOutcome::OutsideMemory);
  CHECK(memory.discard({GuestAddress(kHot), 2 * kBlock}).outcome == DiscardOutcome::OutsideMemory);
  CHECK(resident_pages(memory, blocks(0, 1)) == 4);
  CHECK(memory.discard({GuestAddress(kHot), kBlock}).done());
  CHECK(resident_pages(memory, blocks(0, 1)) == 0);
}

TEST_CASE("Plugging and unplugging are in the dirty log") {
  GuestMemory memory = make_hot_memory();
  REQUIRE(memory.plug_blocks(blocks(1, 1), BlockContents::Zeroed));
  CHECK(memory.dirty_log(1).dirty_page_count() == 512);
  memory.clear_dirty_logs();
  (void)memory.unplug_blocks(blocks(1, 1));
  CHECK(memory.dirty_log(1).dirty_page_count() == 512);
  CHECK(memory.dirty_log(1).is_dirty(512));
}

TEST_CASE("A KVM slot can be lent for a range of any region, plugged or not, but not across its end") {
  const GuestMemory memory = make_hot_memory();
  const auto key = [] { return KernelIoKeyForTests::make(); };
  const auto hot = memory.lend_range(blocks(0, 64), key());
  REQUIRE(hot);
  CHECK(hot->iov_len == 64 * kBlock);
  CHECK_FALSE(memory.lend_range(blocks(0, kBlockCount + 1), key()));
  CHECK_FALSE(memory.lend_range({GuestAddress(kHot - 1), 1}, key()));
  CHECK_FALSE(memory.lend_range({GuestAddress(kHot), 0}, key()));
}

TEST_CASE("Other threads may ask while blocks come and go") {
  const GuestMemory memory = make_hot_memory();
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> answers = 0;
  std::thread asker([&] {
    while (!stop.load()) {
      answers += memory.readable(GuestAddress(kHot + 3 * kBlock), 2 * kBlock).has_value() ? 2U : 1U;
    }
  });
  for (int round = 0; round < 200 || answers.load() == 0; ++round) {
    if (!memory.plug_blocks(blocks(3, 2), BlockContents::Zeroed)) {
      break;
    }
    (void)memory.unplug_blocks(blocks(3, 2));
  }
  stop = true;
  asker.join();
  CHECK(answers.load() > 0);
  CHECK(memory.is_unplugged(blocks(0, kBlockCount)));
}

}  // namespace
}  // namespace wisp
