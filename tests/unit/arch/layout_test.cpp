#include "vmm/arch/x86_64/layout.h"

#include <catch2/catch.hpp>

#include "vmm/arch/x86_64/memory_map.h"

namespace wisp::arch {
namespace {

std::vector<std::pair<std::uint64_t, std::uint64_t>> pairs(const std::vector<GuestRange>& ranges) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
  for (const GuestRange& range : ranges) {
    out.emplace_back(range.start.value(), range.size_bytes);
  }
  return out;
}

using Pairs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

TEST_CASE("RAM up to 3 GiB is one region from 0") {
  CHECK(pairs(ram_ranges(kMib)) == Pairs{{0, kMib}});
  CHECK(pairs(ram_ranges(3 * kGib)) == Pairs{{0, 3 * kGib}});
}

TEST_CASE("RAM beyond 3 GiB goes on at 4 GiB, with nothing lost at the boundary") {
  CHECK(pairs(ram_ranges(3 * kGib + kMib)) == Pairs{{0, 3 * kGib}, {4 * kGib, kMib}});
  CHECK(pairs(ram_ranges(255 * kGib)) == Pairs{{0, 3 * kGib}, {4 * kGib, 252 * kGib}});
}

TEST_CASE("RAM that does not fit below 256 GiB goes on at 512 GiB") {
  CHECK(pairs(ram_ranges(255 * kGib + kMib)) == Pairs{{0, 3 * kGib}, {4 * kGib, 252 * kGib}, {512 * kGib, kMib}});
  CHECK(pairs(ram_ranges(1024 * kGib)) == Pairs{{0, 3 * kGib}, {4 * kGib, 252 * kGib}, {512 * kGib, 769 * kGib}});
}

TEST_CASE("No memory gives no region") {
  CHECK(ram_ranges(0).empty());
}

TEST_CASE("Device slots follow each other from the second page of the gap and from line 5 on") {
  CHECK(mmio_slot_address(0) == 0xc0001000);
  CHECK(mmio_slot_address(16) == 0xc0011000);
  CHECK(mmio_slot_gsi(0) == 5);
  CHECK(mmio_slot_gsi(kMaxMmioDevices - 1) == 21);
}

TEST_CASE("The memory map of a large machine lists every region and every reservation in order") {
  const auto map = memory_map(ram_ranges(4 * kGib));

  REQUIRE(map.size() == 5);
  const auto is = [&](std::size_t index, std::uint64_t start, std::uint64_t size, MemoryKind kind) {
    return map[index].range.start.value() == start && map[index].range.size_bytes == size && map[index].kind == kind;
  };
  CHECK(is(0, 0, 0x9fc00, MemoryKind::Ram));
  CHECK(is(1, 0x9fc00, 0x40400, MemoryKind::Reserved));
  CHECK(is(2, 0xeec00000, 256 * kMib, MemoryKind::Reserved));
  CHECK(is(3, kMib, 3 * kGib - kMib, MemoryKind::Ram));
  CHECK(is(4, 4 * kGib, kGib, MemoryKind::Ram));
}

TEST_CASE("A machine of 1 MiB has no memory above it in its map") {
  CHECK(memory_map(ram_ranges(kMib)).size() == 3);
}

}  // namespace
}  // namespace wisp::arch
