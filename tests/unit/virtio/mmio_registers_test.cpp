// The register file as a driver finds it: every register, every width and place, every wrong moment.
#include <catch2/catch.hpp>

#include "tests/unit/virtio/transport_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("identification registers read as the specification says") {
  TransportRig rig;
  CHECK(rig.driver.read(0x000) == 0x74726976);
  CHECK(rig.driver.read(0x004) == 2);
  CHECK(rig.driver.read(0x008) == 4);
  CHECK(rig.driver.read(0x00c) == 0);
}

TEST_CASE("device features are read by page, and pages beyond the second are empty") {
  TransportRig rig;
  CHECK(rig.driver.device_features() == ((std::uint64_t{0x3} << 28U) | kFeatureVersion1));
  rig.driver.write(0x14, GENERATE(2U, 3U, 0x80000000U, 0xffffffffU));
  CHECK(rig.driver.read(0x10) == 0);
}

TEST_CASE("registers that can only be written read as 0") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  const auto offset = GENERATE(0x014U, 0x020U, 0x024U, 0x030U, 0x038U, 0x050U, 0x064U, 0x080U, 0x084U, 0x090U, 0x094U,
                               0x0a0U, 0x0a4U, 0x0acU);
  rig.driver.write(offset, 1);
  CHECK(rig.driver.read(offset) == 0);
}

TEST_CASE("registers that can only be read are not changed by a write") {
  TransportRig rig;
  const auto offset =
      GENERATE(0x000U, 0x004U, 0x008U, 0x00cU, 0x010U, 0x034U, 0x060U, 0x0b0U, 0x0b4U, 0x0b8U, 0x0bcU, 0x0fcU);
  const std::uint32_t before = rig.driver.read(offset);
  const std::uint64_t bad_accesses = rig.transport->metrics().bad_access_count.total();
  rig.driver.write(offset, ~before);
  CHECK(rig.driver.read(offset) == before);
  CHECK(rig.transport->metrics().bad_access_count.total() == bad_accesses + 1);
}

TEST_CASE("unknown registers read as 0 and swallow writes") {
  TransportRig rig;
  const auto offset =
      GENERATE(0x018U, 0x01cU, 0x028U, 0x03cU, 0x048U, 0x054U, 0x068U, 0x074U, 0x088U, 0x098U, 0x0a8U, 0x0c0U, 0x0f8U);
  rig.driver.write(offset, 0xffffffff);
  CHECK(rig.driver.read(offset) == 0);
  CHECK(rig.transport->metrics().bad_access_count.total() == 2);
}

TEST_CASE("a register read that is not four bytes wide and aligned gives 0") {
  TransportRig rig;
  const auto width = GENERATE(1U, 2U, 3U, 5U, 8U);
  CHECK(rig.driver.read_wide(0x000, width) == 0);
  CHECK(rig.driver.read_wide(0x070, width) == 0);
  CHECK(rig.driver.read_wide(0x0fc, width) == 0);
}

TEST_CASE("a register read at a misaligned offset gives 0") {
  TransportRig rig;
  const auto shift = GENERATE(1U, 2U, 3U);
  CHECK(rig.driver.read(0x000 + shift) == 0);
  CHECK(rig.driver.read(0x0fc + shift) == 0);  // straddles into the configuration space
}

TEST_CASE("a register write that is not four bytes wide and aligned is ignored") {
  TransportRig rig;
  const auto width = GENERATE(1U, 2U, 3U, 8U);
  rig.driver.write_wide(0x070, 1, width);
  CHECK(rig.driver.status() == 0);
  rig.driver.write_wide(0x06f, 0x100, 4);
  CHECK(rig.driver.status() == 0);
  CHECK(rig.transport->metrics().bad_access_count.total() == 2);
}

TEST_CASE("shared memory regions do not exist") {
  TransportRig rig;
  rig.driver.write(0xac, GENERATE(0U, 1U, 0xffffffffU));
  CHECK(rig.driver.read(0xb0) == 0xffffffff);
  CHECK(rig.driver.read(0xb4) == 0xffffffff);
}

// Configuration space: 13 bytes, 0xc0, 0xc1, ...

TEST_CASE("the configuration space is read with any width at any place") {
  TransportRig rig;
  CHECK(rig.driver.read_wide(0x100, 1) == 0xc0);
  CHECK(rig.driver.read_wide(0x101, 2) == 0xc2c1);
  CHECK(rig.driver.read_wide(0x103, 4) == 0xc6c5c4c3);
  CHECK(rig.driver.read_wide(0x105, 8) == 0xcccbcac9c8c7c6c5);
}

TEST_CASE("bytes behind the end of the configuration space read as 0") {
  TransportRig rig;
  CHECK(rig.driver.read_wide(0x10c, 1) == 0xcc);
  CHECK(rig.driver.read_wide(0x10c, 2) == 0x00cc);
  CHECK(rig.driver.read_wide(0x10b, 4) == 0x0000cccb);
  CHECK(rig.driver.read_wide(0x10a, 8) == 0x0000000000cccbca);
  CHECK(rig.driver.read_wide(0x10d, 8) == 0);
  CHECK(rig.driver.read_wide(0xff8, 8) == 0);
}

TEST_CASE("the configuration space is written only by a driver that has said so") {
  TransportRig rig;
  rig.driver.write_wide(0x100, 1, 1);
  CHECK(rig.device->config_bytes_written == 0);
  rig.driver.set_status(1);
  rig.driver.set_status(3);
  rig.driver.write_wide(0x100, 1, 8);
  CHECK(rig.device->config_bytes_written == 8);
  rig.driver.set_status(0x83);
  rig.driver.write_wide(0x100, 1, 8);
  CHECK(rig.device->config_bytes_written == 8);
}

TEST_CASE("a changed configuration moves the generation and interrupts") {
  TransportRig rig;
  const std::uint32_t before = rig.driver.read(0xfc);
  rig.loop.call([&] { rig.device->signals->config_changed(); });
  CHECK(rig.driver.read(0xfc) == before + 1);
  CHECK(rig.driver.interrupt_status() == 2);
  CHECK(is_signalled(rig.transport->interrupt_event()));
}

// Interrupts.

TEST_CASE("an acknowledgement clears the bits that it names and no others") {
  TransportRig rig;
  rig.start();
  rig.loop.call([&] { rig.device->signals->config_changed(); });
  rig.offer_and_kick(0);
  REQUIRE(rig.driver.interrupt_status() == 3);
  rig.driver.acknowledge(1);
  CHECK(rig.driver.interrupt_status() == 2);
  rig.driver.acknowledge(0xfffffffe);
  CHECK(rig.driver.interrupt_status() == 0);
}

// Queue registers.

TEST_CASE("a queue that exists says 256, one that does not says 0") {
  TransportRig rig;
  rig.driver.write(0x30, 1);
  CHECK(rig.driver.read(0x34) == 256);
  rig.driver.write(0x30, GENERATE(2U, 8U, 0x10000U, 0x80000000U, 0xffffffffU));
  CHECK(rig.driver.read(0x34) == 0);
  CHECK(rig.driver.read(0x44) == 0);
}

TEST_CASE("writes to a queue that does not exist are refused") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  CHECK(rig.driver.set_up_queue(2, {}, 8) == 0);
  CHECK(rig.transport->metrics().refused_write_count.total() == 8);
}

TEST_CASE("queues are set up after FEATURES_OK and before DRIVER_OK only") {
  TransportRig rig;
  CHECK(rig.driver.set_up_queue(0, {}, 8) == 0);
  rig.driver.set_status(1);
  CHECK(rig.driver.set_up_queue(0, {}, 8) == 0);
  rig.driver.set_status(3);
  CHECK(rig.driver.set_up_queue(0, {}, 8) == 0);
  rig.driver.accept_features(kFeatureVersion1);
  rig.driver.set_status(0xb);
  CHECK(rig.driver.set_up_queue(0, {}, 8) == 1);
  rig.driver.go_live();
  rig.driver.write(0x44, 0);
  CHECK(rig.driver.read(0x44) == 1);
}

TEST_CASE("a queue with a size that fits only in its low 16 bits does not become ready") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  CHECK(rig.driver.set_up_queue(0, {}, GENERATE(0U, 3U, 257U, 512U, 0x10008U, 0x80000100U)) == 0);
}

TEST_CASE("a queue outside memory or misaligned does not become ready, a corrected one does") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  QueuePlace bad;
  SECTION("table in a hole") {
    bad.descriptors = 0x60000;
  }
  SECTION("available ring above 4 GiB") {
    bad.available += std::uint64_t{1} << 32U;
  }
  SECTION("used ring misaligned") {
    bad.used += 2;
  }
  CHECK(rig.driver.set_up_queue(0, bad, 8) == 0);
  CHECK(rig.driver.set_up_queue(0, {}, 8) == 1);
}

TEST_CASE("a ready queue ignores new addresses until it is made unready") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  REQUIRE(rig.driver.set_up_queue(0, {}, 8) == 1);
  rig.driver.write(0x38, 7);
  CHECK(rig.driver.read(0x44) == 1);
  rig.driver.write(0x44, 0);
  CHECK(rig.driver.read(0x44) == 0);
  rig.driver.write(0x38, 7);
  rig.driver.write(0x44, 1);
  CHECK(rig.driver.read(0x44) == 0);
}

TEST_CASE("QueueReady takes 0 and 1 only") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  REQUIRE(rig.driver.set_up_queue(0, {}, 8) == 1);
  rig.driver.write(0x44, 0);
  rig.driver.write(0x44, 2);
  CHECK(rig.driver.read(0x44) == 0);
}

TEST_CASE("a live queue keeps its rings whatever is written to the registers") {
  TransportRig rig;
  rig.start();
  QueuePlace elsewhere;
  elsewhere.descriptors = elsewhere.available = elsewhere.used = 0x40000;
  rig.driver.write(0x44, 0);
  rig.driver.set_up_queue(0, elsewhere, 256);
  rig.offer_and_kick(5);
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{5, 0}});
  CHECK(rig.queue.guest().holds(0x40000, 0x1000, 0));
}

TEST_CASE("a notification of a queue that does not exist is ignored") {
  TransportRig rig;
  rig.start();
  const int kicks = rig.device->kicks;
  rig.driver.notify(GENERATE(2U, 0x10000U, 0x80000000U, 0xffffffffU));
  rig.loop.settle();
  CHECK(rig.device->kicks == kicks);
  CHECK(rig.transport->metrics().refused_write_count.total() == 1);
}
