#include "snapshot/image/dirty_bitmap.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "tests/fakes/guest.h"

namespace wisp {
namespace {

constexpr std::uint64_t kPage = kPageSizeBytes;

/// Regions of 200 and 3 pages.
GuestMemory make_memory() {
  const GuestRange ranges[] = {{GuestAddress(0), 200 * kPage}, {GuestAddress(400 * kPage), 3 * kPage}};
  return GuestMemory::create(ranges, PageBacking::Normal).value();
}

TEST_CASE("A new bitmap has the regions of the memory and is clean") {
  const DirtyBitmap bitmap(make_memory());
  CHECK(bitmap.region_count() == 2);
  CHECK(bitmap.page_count(0) == 200);
  CHECK(bitmap.page_count(1) == 3);
  CHECK(bitmap.dirty_page_count() == 0);
  CHECK_FALSE(bitmap.next_run(0, 0).has_value());
}

TEST_CASE("What the monitor wrote and what KVM reports are added up") {
  const GuestMemory memory = make_memory();
  fakes::GuestView(memory).put(5 * kPage, 1, 1);
  fakes::GuestView(memory).put(402 * kPage, 1, 1);
  DirtyBitmap bitmap(memory);
  bitmap.merge(memory);
  const std::uint64_t log[] = {1U << 6U, 1};
  bitmap.merge_words(0, 64, log);
  CHECK(bitmap.is_dirty(0, 5));
  CHECK(bitmap.is_dirty(0, 70));
  CHECK(bitmap.is_dirty(0, 128));
  CHECK(bitmap.is_dirty(1, 2));
  CHECK(bitmap.dirty_page_count() == 4);

  DirtyBitmap sum(memory);
  sum.mark(0, {6, 1});
  sum.merge(bitmap);
  CHECK(sum.dirty_page_count() == 5);
  sum.clear();
  CHECK(sum.dirty_page_count() == 0);
}

TEST_CASE("Bits that KVM's log has beyond the end of the region do not count") {
  DirtyBitmap bitmap(make_memory());
  const std::uint64_t log[] = {~std::uint64_t{0}};
  bitmap.merge_words(1, 0, log);
  CHECK(bitmap.dirty_page_count() == 3);
  CHECK(bitmap.next_run(1, 0)->count == 3);
}

TEST_CASE("Runs cover exactly the marked pages, over random marks") {
  const GuestMemory memory = make_memory();
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    DirtyBitmap bitmap(memory);
    std::set<std::uint64_t> expected;
    for (auto marks = random() % 12; marks > 0; --marks) {
      const PageRun run{random() % 200, 0};
      const std::uint64_t count = random() % (201 - run.first);
      bitmap.mark(0, {run.first, count});
      for (std::uint64_t page = run.first; page < run.first + count; ++page) {
        expected.insert(page);
      }
    }
    std::set<std::uint64_t> found;
    std::uint64_t last_end = 0;
    for (auto run = bitmap.next_run(0, 0); run; run = bitmap.next_run(0, run->first + run->count)) {
      REQUIRE((run->first > last_end || last_end == 0));  // as long as they can be
      last_end = run->first + run->count;
      for (std::uint64_t page = run->first; page < last_end; ++page) {
        found.insert(page);
      }
    }
    REQUIRE(found == expected);
    REQUIRE(bitmap.dirty_page_count() == expected.size());
  }
}

TEST_CASE("A whole region can be marked") {
  DirtyBitmap bitmap(make_memory());
  bitmap.mark_all(0);
  CHECK(bitmap.dirty_page_count() == 200);
  CHECK(bitmap.next_run(0, 0)->count == 200);
  CHECK_FALSE(bitmap.next_run(0, 200).has_value());
}

}  // namespace
}  // namespace wisp
