#include "vmm/memory/guest_memory.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

namespace wisp {

/// A wire structure of the test's own.
struct Pair {
  Le32 first;
  Le16 second;
  std::array<std::uint8_t, 2> rest;
};
template <>
inline constexpr bool kIsGuestPod<Pair> = true;

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kGib = 1024 * kMib;
constexpr std::uint64_t kMaxAddress = ~std::uint64_t{0};

/// Two regions side by side, a hole, and one above 4 GiB: RAM as a large machine has it, in small.
GuestMemory make_memory() {
  const std::array<GuestRange, 3> ranges = {
      {{GuestAddress(0), 0x4000}, {GuestAddress(0x4000), 0x4000}, {GuestAddress(4 * kGib), 0x2000}}};
  return GuestMemory::create(ranges, PageBacking::Normal).value();
}

std::string read_text(const GuestMemory& memory, std::uint64_t address, std::size_t size) {
  std::string text(size, '\0');
  const auto slice = memory.readable(GuestAddress(address), size);
  REQUIRE(slice);
  slice->copy_to(std::as_writable_bytes(std::span(text)));
  return text;
}

bool write_text(const GuestMemory& memory, std::uint64_t address, const std::string& text) {
  return memory.write_bytes(GuestAddress(address), std::as_bytes(std::span(text)));
}

TEST_CASE("Fresh memory is zero, and what was written is read back, at both ends of each region") {
  const GuestMemory memory = make_memory();
  for (const std::uint64_t address :
       {std::uint64_t{0}, std::uint64_t{0x3ffe}, std::uint64_t{0x4000}, 4 * kGib, 4 * kGib + 0x1ffe}) {
    CAPTURE(address);
    CHECK(read_text(memory, address, 2) == std::string(2, '\0'));
    CHECK(write_text(memory, address, "ab"));
    CHECK(read_text(memory, address, 2) == "ab");
  }
}

TEST_CASE("Ranges that leave a region, lie in a hole or wrap are nothing, whoever asks") {
  const GuestMemory memory = make_memory();
  struct Case {
    std::uint64_t address;
    std::uint64_t length;
  };
  const Case bad[] = {{0x3fff, 2},        // across two regions that touch
                      {0x7fff, 2},        // into the hole
                      {0x8000, 1},        // in the hole
                      {4 * kGib - 1, 2},  // out of the hole
                      {4 * kGib + 0x2000, 1},
                      {0, 0x4001},
                      {0, kMaxAddress},
                      {1, kMaxAddress},
                      {kMaxAddress, 1},
                      {kMaxAddress, kMaxAddress},
                      {0, 0}};
  for (const Case& range : bad) {
    CAPTURE(range.address, range.length);
    CHECK_FALSE(memory.readable(GuestAddress(range.address), range.length).has_value());
    CHECK_FALSE(memory.writable(GuestAddress(range.address), range.length).has_value());
  }
  CHECK_FALSE(memory.read<Le64>(GuestAddress(0x3ffc)).has_value());
  CHECK_FALSE(memory.write(GuestAddress(0x7ffd), Le32(1U)));
  CHECK_FALSE(write_text(memory, 0x3ffe, "abc"));
}

TEST_CASE("A write that does not fit writes nothing and marks nothing") {
  GuestMemory memory = make_memory();
  CHECK_FALSE(write_text(memory, 0x3ffe, "abc"));
  CHECK(read_text(memory, 0x3ffe, 2) == std::string(2, '\0'));
  CHECK(read_text(memory, 0x4000, 1) == std::string(1, '\0'));
  CHECK(memory.dirty_log(0).dirty_page_count() == 0);
  CHECK(memory.dirty_log(1).dirty_page_count() == 0);
}

TEST_CASE("A structure is copied as a whole, little-endian") {
  const GuestMemory memory = make_memory();
  CHECK(memory.write(GuestAddress(0x101), Pair{0x11223344U, std::uint16_t{0x5566}, {7, 8}}));
  CHECK(read_text(memory, 0x101, 8) == std::string("\x44\x33\x22\x11\x66\x55\x07\x08"));
  const auto pair = memory.read<Pair>(GuestAddress(0x101));
  REQUIRE(pair);
  CHECK(pair->first == 0x11223344U);
  CHECK(pair->second == 0x5566);
}

TEST_CASE("Memory beyond 3 GiB is addressed without loss, in one region or behind the gap") {
  const std::array<GuestRange, 3> ranges = {
      {{GuestAddress(0), 3 * kGib}, {GuestAddress(4 * kGib), 5 * kGib}, {GuestAddress(512 * kGib), kMib}}};
  const GuestMemory memory = GuestMemory::create(ranges, PageBacking::Normal).value();
  CHECK(memory.total_size_bytes() == 8 * kGib + kMib);
  CHECK(memory.region_count() == 3);
  CHECK(memory.region_range(1).start == GuestAddress(4 * kGib));
  for (const std::uint64_t address : {3 * kGib - 4, 4 * kGib, 9 * kGib - 4, 512 * kGib + kMib - 4}) {
    CAPTURE(address);
    CHECK(write_text(memory, address, "here"));
    CHECK(read_text(memory, address, 4) == "here");
  }
  CHECK_FALSE(memory.readable(GuestAddress(3 * kGib), 1).has_value());
  CHECK(memory.readable(GuestAddress(4 * kGib), 5 * kGib).has_value());
  CHECK(memory.dirty_log(1).is_dirty(5 * kGib / kPageSizeBytes - 1));
  CHECK_FALSE(memory.dirty_log(1).is_dirty(1));
}

TEST_CASE("Every way to write marks the pages it touches, and no others") {
  GuestMemory memory = make_memory();
  const DirtyLog& log = memory.dirty_log(1);
  SECTION("bytes across a page boundary") {
    CHECK(write_text(memory, 0x4fff, "ab"));
    CHECK(log.is_dirty(0));
    CHECK(log.is_dirty(1));
    CHECK(log.dirty_page_count() == 2);
  }
  SECTION("a structure") {
    CHECK(memory.write(GuestAddress(0x5000), Le32(1U)));
    CHECK(log.is_dirty(1));
    CHECK(log.dirty_page_count() == 1);
  }
  SECTION("a fill") {
    memory.writable(GuestAddress(0x6000), 0x2000)->fill(std::byte{1});
    CHECK(log.dirty_page_count() == 2);
    CHECK(read_text(memory, 0x7fff, 1) == "\x01");
  }
  SECTION("a sub-slice") {
    const auto part = memory.writable(GuestAddress(0x4000), 0x4000)->sub(0x3000, 4);
    part->copy_from(std::as_bytes(std::span("abc", 4)));
    CHECK(log.is_dirty(3));
    CHECK(log.dirty_page_count() == 1);
  }
  SECTION("a ring index") {
    memory.writable(GuestAddress(0x5000), 0x1000)->store_release_u16(0x10, 7);
    CHECK(log.is_dirty(1));
    CHECK(memory.readable(GuestAddress(0x5000), 0x1000)->load_acquire_u16(0x10) == 7);
    CHECK(log.dirty_page_count() == 1);
  }
  SECTION("the kernel, by the count that it wrote") {
    const auto slice = memory.writable(GuestAddress(0x4ffe), 0x1000);
    slice->mark_dirty(0, 2);
    CHECK(log.dirty_page_count() == 1);
    slice->mark_dirty(0, 3);
    CHECK(log.dirty_page_count() == 2);
    slice->mark_dirty(0x1000, 0);
    CHECK(log.dirty_page_count() == 2);
  }
  CHECK(memory.dirty_log(0).dirty_page_count() == 0);
  CHECK(memory.dirty_log(2).dirty_page_count() == 0);
  memory.clear_dirty_logs();
  CHECK(log.dirty_page_count() == 0);
}

TEST_CASE("Reading marks nothing") {
  const GuestMemory memory = make_memory();
  read_text(memory, 0, 0x4000);
  CHECK(memory.read<Le64>(GuestAddress(0x4000)).has_value());
  CHECK(memory.dirty_log(0).dirty_page_count() + memory.dirty_log(1).dirty_page_count() == 0);
}

TEST_CASE("Sub-slices only narrow") {
  const GuestMemory memory = make_memory();
  const auto readable = memory.readable(GuestAddress(0x1000), 0x100);
  const auto writable = memory.writable(GuestAddress(0x1000), 0x100);
  REQUIRE(readable);
  REQUIRE(writable);
  CHECK(readable->sub(0, 0x100)->size_bytes() == 0x100);
  CHECK(writable->sub(0x100, 0)->empty());
  CHECK_FALSE(readable->sub(1, 0x100).has_value());
  CHECK_FALSE(writable->sub(0x101, 0).has_value());
  CHECK_FALSE(readable->sub(~std::size_t{0}, 2).has_value());
  CHECK_FALSE(writable->sub(2, ~std::size_t{0}).has_value());
}

TEST_CASE("Words are loaded from where the slice says") {
  const GuestMemory memory = make_memory();
  CHECK(memory.write(GuestAddress(0x104), Le32(0xaabbccddU)));
  const auto slice = memory.readable(GuestAddress(0x100), 8);
  CHECK(slice->load_acquire_u16(6) == 0xaabb);
}

TEST_CASE("Memory can be moved and keeps its contents and its log") {
  GuestMemory memory = make_memory();
  CHECK(write_text(memory, 0x1000, "kept"));
  GuestMemory moved = std::move(memory);
  CHECK(read_text(moved, 0x1000, 4) == "kept");
  CHECK(moved.dirty_log(0).is_dirty(1));
  moved = make_memory();
  CHECK(read_text(moved, 0x1000, 4) == std::string(4, '\0'));
}

TEST_CASE("A size that the host refuses is an error with a remedy") {
  const GuestRange range{GuestAddress(0), std::uint64_t{1} << 50};
  const auto memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal);
  REQUIRE_FALSE(memory.ok());
  CHECK_THAT(memory.error().text(), Catch::Matchers::Contains("MiB") && Catch::Matchers::Contains("mem_size_mib"));
}

TEST_CASE("Pages that the host has not reserved are an error now, not a fault later") {
  const GuestRange range{GuestAddress(0), std::uint64_t{1} << 40};
  const auto memory = GuestMemory::create(std::span(&range, 1), PageBacking::Huge2M);
  REQUIRE_FALSE(memory.ok());
  CHECK_THAT(memory.error().text(), Catch::Matchers::Contains("nr_hugepages"));
}

TEST_CASE("Guest addresses add and subtract without wrapping") {
  CHECK(GuestAddress(1).checked_add(2) == GuestAddress(3));
  CHECK_FALSE(GuestAddress(kMaxAddress).checked_add(1).has_value());
  CHECK(GuestAddress(5).offset_from(GuestAddress(3)) == 2U);
  CHECK_FALSE(GuestAddress(3).offset_from(GuestAddress(5)).has_value());
  CHECK(GuestAddress(0x1000).is_aligned(0x1000));
  CHECK_FALSE(GuestAddress(0x1001).is_aligned(2));
}

}  // namespace
}  // namespace wisp
