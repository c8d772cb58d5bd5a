// Plugging and unplugging from the driver's side, and what becomes of host memory and KVM slots.
#include <catch2/catch.hpp>

#include "tests/unit/mem/mem_rig.h"

namespace wisp {
namespace {

using namespace fakes;

TEST_CASE("The configuration space has the region, the block size and the three sizes") {
  MemRig rig(200);
  CHECK(rig.config_field(0) == kBlock);
  CHECK(rig.config_field(8) == 0);
  CHECK(rig.config_field(16) == kHot);
  CHECK(rig.config_field(24) == kTotalMib * kMib);
  CHECK(rig.usable() == 2 * kSlot);  // the request in whole slots
  CHECK(rig.plugged() == 0);
  CHECK(rig.config_field(48) == 200 * kMib);
  CHECK(rig.config_field(56) == 0);
  CHECK(rig.device->offered_features() == ((std::uint64_t{1} << 32) | (3U << 28) | 2U));
}

TEST_CASE("A driver that does not accept UNPLUGGED_INACCESSIBLE is not activated") {
  MemRig rig;
  rig.device->reset();
  CHECK_FALSE(rig.activate(kMemFeatures & ~std::uint64_t{2}).ok());
  CHECK(rig.device->metrics().activate_fails.total() == 1);
  CHECK(rig.device->request(2).error().text() == "Device is not active");
  CHECK(rig.activate(kMemFeatures).ok());
}

TEST_CASE("M-04: requests are checked in bytes of 64 bits, against block size and total size") {
  MemRig rig(0);
  CHECK(rig.device->request(kTotalMib).ok());
  CHECK(rig.device->request(2).ok());
  const int interrupts = rig.signals.config_changed_count;
  CHECK(interrupts == 3);
  CHECK(rig.device->request(3).error().text() ==
        "Size 3145728 is invalid: it must be a multiple of block size and less than the total size");
  CHECK_FALSE(rig.device->request(kTotalMib + 2).ok());
  CHECK_FALSE(rig.device->request((std::uint64_t{1} << 44) + 2).ok());  // 2 MiB, if it wrapped
  CHECK(rig.device->status().requested_size_mib == 2);
  CHECK(rig.signals.config_changed_count == interrupts);
}

TEST_CASE("Plugged blocks are memory, their slot is there; unplugged ones are neither and cost the host nothing") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 62, 4) == kAck);  // across two slots
  CHECK(rig.slots.present == std::set<std::size_t>{0, 1});
  CHECK(rig.plugged() == 4 * kBlock);
  CHECK(rig.device->status().plugged_size_mib == 8);
  CHECK(rig.device->metrics().plug_bytes.total() == 4 * kBlock);
  rig.guest.fill(kHot + 62 * kBlock, 4 * kBlock, 0x5a);
  REQUIRE(resident_pages(rig.memory, hot_blocks(62, 4)) == 4 * 512);

  REQUIRE(rig.ask(kUnplug, 62, 1) == kAck);
  CHECK(rig.slots.present == std::set<std::size_t>{0, 1});  // block 63 still needs it
  CHECK(resident_pages(rig.memory, hot_blocks(62, 4)) == 3 * 512);
  REQUIRE(rig.ask(kUnplug, 63, 3) == kAck);
  CHECK(rig.slots.present.empty());
  CHECK(resident_pages(rig.memory, hot_blocks(0, 128)) == 0);
  CHECK(rig.plugged() == 0);
  CHECK_FALSE(rig.memory.readable(GuestAddress(kHot + 63 * kBlock), 1).has_value());
  CHECK(rig.device->metrics().unplug_bytes.total() == 4 * kBlock);
}

TEST_CASE("M-03: the guest loses its access before the memory goes back, and a slot that is gone holds nothing") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 0, 2) == kAck);
  rig.guest.fill(kHot, 2 * kBlock, 0x5a);
  // The guest touches an unplugged block of a slot that it can still reach.
  const auto reach = host_range(rig.memory, hot_blocks(5, 1));
  *static_cast<volatile char*>(reach.iov_base) = 1;
  REQUIRE(rig.ask(kUnplug, 0, 2) == kAck);
  CHECK(rig.slots.resident_at_removal == 2 * 512 + 1);
  CHECK(resident_pages(rig.memory, hot_blocks(0, 64)) == 0);
}

TEST_CASE("Blocks come back zeroed") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 3, 1) == kAck);
  rig.guest.fill(kHot + 3 * kBlock, kBlock, 0x5a);
  REQUIRE(rig.ask(kUnplug, 3, 1) == kAck);
  REQUIRE(rig.ask(kPlug, 3, 1) == kAck);
  CHECK(rig.guest.holds(kHot + 3 * kBlock, kBlock, 0));
}

TEST_CASE("More than requested is not plugged; a smaller request takes nothing away") {
  MemRig rig(8);
  CHECK(rig.ask(kPlug, 0, 5) == kNack);
  CHECK(rig.ask(kPlug, 0, 4) == kAck);
  CHECK(rig.ask(kPlug, 10, 1) == kNack);
  CHECK(rig.device->metrics().plug_fails.total() == 2);
  REQUIRE(rig.device->request(0).ok());
  CHECK(rig.plugged() == 4 * kBlock);
  CHECK(rig.usable() == kSlot);
  CHECK(rig.ask(kPlug, 10, 1) == kNack);
  CHECK(rig.ask(kUnplug, 0, 1) == kAck);
}

TEST_CASE("The state of a range: plugged, unplugged, mixed") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 2, 2) == kAck);
  CHECK(rig.ask(kState, 2, 2) == kAck);
  CHECK(rig.state() == 0);
  CHECK(rig.ask(kState, 4, 60) == kAck);
  CHECK(rig.state() == 1);
  CHECK(rig.ask(kState, 0, 3) == kAck);
  CHECK(rig.state() == 2);
  CHECK(rig.device->metrics().state_count.total() == 3);
}

TEST_CASE("M-01: requests that make no sense are answered with an error and change nothing") {
  MemRig rig(1024);
  REQUIRE(rig.ask(kPlug, 8, 4) == kAck);
  const std::uint64_t usable_end = kHot + 1024 * kMib;
  struct Case {
    std::uint16_t type;
    std::uint64_t address;
    std::uint16_t count;
  };
  const Case cases[] = {{kPlug, kHot, 0},
                        {kPlug, kHot + 4096, 1},
                        {kPlug, kHot + 1, 1},
                        {kPlug, kHot - kBlock, 1},
                        {kPlug, 0, 1},
                        {kPlug, usable_end, 1},
                        {kPlug, usable_end - kBlock, 2},
                        {kPlug, kHot, 0xffff},
                        {kPlug, ~std::uint64_t{0} - kBlock + 1, 1},
                        {kPlug, ~std::uint64_t{0} - kBlock + 1, 0xffff},
                        {kPlug, kHot + 8 * kBlock, 1},    // plugged already
                        {kPlug, kHot + 7 * kBlock, 2},    // partly
                        {kUnplug, kHot + 7 * kBlock, 2},  // partly unplugged
                        {kUnplug, kHot, 1},
                        {kUnplug, kHot + 8 * kBlock, 0},
                        {kUnplug, kHot + 8 * kBlock + 512, 1},
                        {kState, usable_end, 1},
                        {kState, kHot, 0},
                        {4, kHot, 1},
                        {0xffff, kHot, 1}};
  const int changes = rig.slots.changes;
  for (const Case& bad : cases) {
    CAPTURE(bad.type, bad.address, bad.count);
    CHECK(rig.ask_at(bad.type, bad.address, bad.count) == kErr);
  }
  CHECK(rig.plugged() == 4 * kBlock);
  CHECK(rig.memory.plugged_bytes(hot_blocks(0, 2048)) == 4 * kBlock);
  CHECK(rig.slots.changes == changes);
  CHECK(rig.device->metrics().queue_event_fails.total() == std::size(cases));
  CHECK(rig.signals.needs_reset_count == 0);
}

TEST_CASE("Malformed chains always come back: with an error where an answer fits, else with length 0") {
  MemRig rig;
  FakeQueue& queue = rig.queue;
  rig.put_request(kPlug, kHot, 1);
  std::uint32_t expected = 0;
  std::uint16_t head = 0;
  SECTION("request too short") {
    head = ChainBuilder(queue, 0).readable(kRequest, 23).writable(kAnswer, 10).build();
    expected = 10;
  }
  SECTION("no request") {
    head = ChainBuilder(queue, 0).writable(kAnswer, 10).build();
    expected = 10;
  }
  SECTION("no answer") {
    head = ChainBuilder(queue, 0).readable(kRequest, 24).build();
  }
  SECTION("answer too short") {
    head = ChainBuilder(queue, 0).readable(kRequest, 24).writable(kAnswer, 9).build();
  }
  SECTION("answer first") {
    head = ChainBuilder(queue, 0).writable(kAnswer, 10).readable(kRequest, 24).build();
  }
  SECTION("request outside memory") {
    head = ChainBuilder(queue, 0).readable(0, 24).writable(kAnswer, 10).build();
  }
  SECTION("answer in unplugged memory") {
    head = ChainBuilder(queue, 0).readable(kRequest, 24).writable(kHot, 10).build();
  }
  SECTION("nothing") {
    head = ChainBuilder(queue, 0).readable(kRequest, 0).build();
  }
  CHECK(rig.run(head) == expected);
  CHECK(rig.answer() == (expected == 10 ? kErr : kNoAnswer));
  CHECK(rig.plugged() == 0);
  CHECK(rig.slots.changes == 0);
  CHECK(rig.device->metrics().queue_event_fails.total() == 1);
}

TEST_CASE("A request in pieces, with a longer answer buffer, is a request") {
  MemRig rig;
  rig.put_request(kPlug, kHot, 1);
  CHECK(rig.run(ChainBuilder(rig.queue, 0)
                    .readable(kRequest, 3)
                    .readable(kRequest + 3, 21)
                    .writable(kAnswer, 1)
                    .writable(kAnswer + 1, 15)
                    .build()) == 10);
  CHECK(rig.answer() == kAck);
  CHECK(rig.guest.holds(kAnswer + 10, 6, 0xee));
}

TEST_CASE("UNPLUG_ALL takes every slot in bounded turns and shrinks the usable region to what is requested") {
  MemRig rig(kTotalMib);
  for (std::uint64_t slot = 0; slot < 32; ++slot) {
    REQUIRE(rig.ask(kPlug, slot * 64 + slot, 1) == kAck);
  }
  REQUIRE(rig.slots.present.size() == 32);
  REQUIRE(rig.device->request(100).ok());
  CHECK(rig.usable() == kTotalMib * kMib);

  CHECK(rig.ask(kUnplugAll) == kAck);
  CHECK(rig.turns == 2);  // 16 slots each
  CHECK(rig.slots.present.empty());
  CHECK(rig.plugged() == 0);
  CHECK(rig.usable() == kSlot);
  CHECK(resident_pages(rig.memory, hot_blocks(0, 2048)) == 0);
  CHECK(rig.device->metrics().unplug_all_count.total() == 1);
  CHECK(rig.ask(kPlug, 64, 1) == kErr);  // outside the usable region now
  CHECK(rig.ask(kUnplugAll) == kAck);
}

TEST_CASE("UNPLUG_ALL that is quiesced half-way is put back and finished afterwards") {
  MemRig rig(kTotalMib);
  for (std::uint64_t slot = 0; slot < 32; ++slot) {
    REQUIRE(rig.ask(kPlug, slot * 64, 1) == kAck);
  }
  rig.put_request(kUnplugAll, 0, 0);
  rig.queue.offer(ChainBuilder(rig.queue, 0).readable(kRequest, 24).writable(kAnswer, 10).build());
  REQUIRE(rig.device->on_queue(0));
  CHECK(rig.slots.present.size() == 16);
  CHECK(rig.plugged() == 16 * kBlock);
  rig.device->quiesce();
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
  CHECK_FALSE(rig.queue.take_used());
  rig.device->resume();
  while (rig.device->on_queue(0)) {
  }
  CHECK(rig.queue.take_used() == Used{0, 10});
  CHECK(rig.slots.present.empty());
}

TEST_CASE("When the host refuses a slot the answer is busy and everything is as before") {
  MemRig rig;
  rig.slots.fail_add_at = 1;
  CHECK(rig.ask(kPlug, 62, 4) == kBusy);
  CHECK(rig.slots.present.empty());
  CHECK(rig.plugged() == 0);
  CHECK(rig.memory.is_unplugged(hot_blocks(0, 2048)));
  rig.slots.fail_add_at.reset();
  REQUIRE(rig.ask(kPlug, 62, 4) == kAck);
  rig.guest.fill(kHot + 62 * kBlock, 16, 0x5a);

  rig.slots.fail_remove_at = 1;
  CHECK(rig.ask(kUnplug, 62, 4) == kBusy);
  CHECK(rig.slots.present == std::set<std::size_t>{0, 1});
  CHECK(rig.plugged() == 4 * kBlock);
  CHECK(rig.guest.holds(kHot + 62 * kBlock, 16, 0x5a));
  CHECK(rig.ask(kUnplugAll) == kBusy);
  rig.slots.fail_remove_at.reset();
  CHECK(rig.ask(kUnplugAll) == kAck);
  CHECK(rig.slots.present.empty());
}

TEST_CASE("A device reset leaves plugged memory as it is") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 0, 2) == kAck);
  rig.guest.fill(kHot, 16, 0x5a);
  rig.device->reset();
  rig.queue.start_over();
  REQUIRE(rig.activate(kMemFeatures).ok());
  CHECK(rig.plugged() == 2 * kBlock);
  CHECK(rig.guest.holds(kHot, 16, 0x5a));
  CHECK(rig.ask(kState, 0, 2) == kAck);
  CHECK(rig.state() == 0);
}

TEST_CASE("A ring inside memory that is unplugged goes on without a crash, as does an answer there") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 0, 1) == kAck);
  // Another device's queue, all of it in block 0.
  FakeQueue other(rig.memory, {kHot, kHot + 0x1000, kHot + 0x2000}, 16);
  QueueConfig config(256);
  config.set_size(16);
  const auto place = [&](QueuePart part, std::uint64_t address) {
    config.set_address(part, AddressHalf::Low, static_cast<std::uint32_t>(address));
    config.set_address(part, AddressHalf::High, static_cast<std::uint32_t>(address >> 32));
  };
  place(QueuePart::DescriptorTable, kHot);
  place(QueuePart::AvailableRing, kHot + 0x1000);
  place(QueuePart::UsedRing, kHot + 0x2000);
  REQUIRE(config.make_ready(rig.memory) == QueueConfigDefect::None);
  auto queue = config.activate(rig.memory, kMemFeatures);
  REQUIRE(queue);
  other.offer(ChainBuilder(other, 0).readable(kHot + 0x4000, 8).writable(kHot + 0x5000, 8).build());
  PopResult popped = queue->pop();
  auto* chain = std::get_if<DescriptorChain>(&popped);
  REQUIRE(chain != nullptr);

  // The unplug request's own answer lies in the block, too.
  rig.put_request(kUnplug, kHot, 1);
  CHECK(rig.run(ChainBuilder(rig.queue, 0).readable(kRequest, 24).writable(kHot + 0x6000, 10).build()) == 0);
  CHECK(rig.plugged() == 0);

  CHECK_FALSE(chain->reader().read<Le64>().has_value());
  CHECK_FALSE(chain->writer().write_bytes(std::array<std::byte, 8>{}));
  CHECK_FALSE(chain->writer().next_slice().has_value());
  std::move(*chain).complete(8);
  (void)queue->publish();
  CHECK(queue->enable_notifications() == Backlog::Some);  // the index reads as zero now
  CHECK(std::holds_alternative<QueueFault>(queue->pop()));
  CHECK(config.make_ready(rig.memory) == QueueConfigDefect::OutsideMemory);
  CHECK(resident_pages(rig.memory, hot_blocks(0, 1)) <= 3);  // what a stale ring can cost
  REQUIRE(rig.ask(kPlug, 0, 1) == kAck);
  CHECK(rig.guest.holds(kHot, kBlock, 0));
}

TEST_CASE("A broken ring asks for a reset and plugged memory stays") {
  MemRig rig;
  REQUIRE(rig.ask(kPlug, 0, 1) == kAck);
  rig.queue.offer(99);
  CHECK_FALSE(rig.device->on_queue(0));
  CHECK(rig.signals.needs_reset_count == 1);
  CHECK(rig.plugged() == kBlock);
}

}  // namespace
}  // namespace wisp
