// The configuration check, capture and restore of hot-pluggable memory.
#include <catch2/catch.hpp>

#include "tests/unit/mem/mem_rig.h"

namespace wisp {
namespace {

using namespace fakes;

TEST_CASE("A configuration that makes no sense is refused with the reason") {
  struct Case {
    MemoryHotplugConfig config;
    const char* text;
  };
  const Case cases[] = {
      {{1024, 0, 128}, "Block size must not be lower than 2 MiB"},
      {{1024, 1, 128}, "Block size must not be lower than 2 MiB"},
      {{1024, 3, 128}, "Block size must be a power of 2"},
      {{1024, 2, 127}, "Slot size must not be lower than 128 MiB"},
      {{1024, 4, 130}, "Slot size must be a multiple of block size (4 MiB)"},
      {{1024, 256, 128}, "Slot size must be a multiple of block size (256 MiB)"},
      {{64, 2, 128}, "Total size must not be lower than slot size (128 MiB)"},
      {{0, 2, 128}, "Total size must not be lower than slot size (128 MiB)"},
      {{200, 2, 128}, "Total size must be a multiple of slot size (128 MiB)"},
  };
  for (const Case& bad : cases) {
    const Status checked = check_memory_hotplug(bad.config);
    REQUIRE_FALSE(checked.ok());
    CHECK(checked.error().text() == bad.text);
  }
  CHECK(check_memory_hotplug({1024, 2, 128}).ok());
  CHECK(check_memory_hotplug({128, 128, 128}).ok());
  CHECK(check_memory_hotplug({4294967168U, 2, 128}).ok());
}

std::vector<std::byte> saved(const MemDevice& device) {
  StateWriter out;
  device.save(out);
  return std::move(out).take();
}

/// A machine that was just made, before anything is plugged.
struct Fresh {
  Status restore(std::span<const std::byte> bytes) {
    StateReader in("mem", bytes);
    Status status = device->restore(in);
    return status.ok() ? in.finish() : std::move(status);
  }
  GuestMemory memory = make_hot_memory();
  FakeSlots slots;
  std::unique_ptr<MemDevice> device = MemDevice::create({kTotalMib, 2, 128}, GuestAddress(kHot), slots, memory).value();
};

TEST_CASE("Plugged blocks, their slots and the sizes survive capture and restore; contents are not touched") {
  MemRig rig(1024);
  REQUIRE(rig.ask(kPlug, 3, 2) == kAck);
  REQUIRE(rig.ask(kPlug, 200, 1) == kAck);
  REQUIRE(rig.device->request(64).ok());
  rig.device->quiesce();
  const auto bytes = saved(*rig.device);

  Fresh fresh;
  // The snapshot's memory file would hold this.
  *static_cast<char*>(host_range(fresh.memory, hot_blocks(3, 1)).iov_base) = 'k';
  REQUIRE(fresh.restore(bytes).ok());
  CHECK(fresh.slots.present == std::set<std::size_t>{0, 3});
  CHECK(fresh.memory.is_plugged(hot_blocks(3, 2)));
  CHECK(fresh.memory.is_plugged(hot_blocks(200, 1)));
  CHECK(fresh.memory.plugged_bytes(hot_blocks(0, 2048)) == 3 * kBlock);
  CHECK(GuestView(fresh.memory).get(kHot + 3 * kBlock, 1) == 'k');
  CHECK(fresh.device->status().requested_size_mib == 64);
  CHECK(fresh.device->status().plugged_size_mib == 6);
  CHECK(saved(*fresh.device) == bytes);
}

TEST_CASE("Blocks that the memory knows as plugged already are taken over") {
  MemRig rig(1024);
  REQUIRE(rig.ask(kPlug, 3, 2) == kAck);
  const auto bytes = saved(*rig.device);
  Fresh fresh;
  REQUIRE(fresh.memory.plug_blocks(hot_blocks(3, 2), BlockContents::Kept));
  REQUIRE(fresh.restore(bytes).ok());
  CHECK(fresh.slots.present == std::set<std::size_t>{0});
  CHECK(fresh.device->status().plugged_size_mib == 4);
}

TEST_CASE("State of another region, and forged state, is refused") {
  MemRig rig(256);
  REQUIRE(rig.ask(kPlug, 3, 2) == kAck);
  const auto good = saved(*rig.device);
  for (std::size_t length = 0; length < good.size(); ++length) {
    Fresh fresh;
    CHECK_FALSE(fresh.restore(std::span(good).first(length)).ok());
  }
  const auto refused_at = [&](std::size_t offset, std::uint8_t value) {
    auto bad = good;
    bad[offset] = static_cast<std::byte>(value);
    Fresh fresh;
    CAPTURE(offset, value);
    CHECK_FALSE(fresh.restore(bad).ok());
    CHECK(fresh.slots.present.empty());
    CHECK(fresh.memory.is_unplugged(hot_blocks(0, 2048)));
  };
  refused_at(4, 0x01);      // the region's place
  refused_at(12, 0x07);     // its size
  refused_at(18, 0x40);     // the block size
  refused_at(27, 0x10);     // the slot size
  refused_at(32, 0x01);     // requested: not whole blocks
  refused_at(37, 0x01);     // requested: beyond the region
  refused_at(42, 0x20);     // usable: not whole slots
  refused_at(45, 0x01);     // usable: beyond the region
  refused_at(43, 0x00);     // usable: less than requested
  refused_at(48, 0x01);     // the map's length
  refused_at(52 + 100, 1);  // a block outside the usable region
}

TEST_CASE("A slot that cannot be added makes the restore fail") {
  MemRig rig(256);
  REQUIRE(rig.ask(kPlug, 3, 2) == kAck);
  const auto bytes = saved(*rig.device);
  Fresh fresh;
  fresh.slots.fail_add_at = 0;
  CHECK_FALSE(fresh.restore(bytes).ok());
}

}  // namespace
}  // namespace wisp
