#include <catch2/catch.hpp>

#include "tests/unit/virtio/queue_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kHighEnd = kHighStart + kHighBytes;

QueueConfigDefect defect_of(QueuePlace place, std::uint32_t size) {
  const GuestMemory memory = make_memory();
  return configure(place, size).make_ready(memory);
}

}  // namespace

TEST_CASE("a queue whose size is a power of two up to 256 becomes ready") {
  const auto size = GENERATE(1U, 2U, 4U, 8U, 16U, 32U, 64U, 128U, 256U);
  CHECK(defect_of({}, size) == QueueConfigDefect::None);
}

TEST_CASE("a queue size that is zero, no power of two, too large or large only in its high bits is refused") {
  const auto size = GENERATE(0U, 3U, 6U, 255U, 257U, 512U, 0x8000U, 0x10000U, 0x10100U, 0x80000000U, 0xffffffffU);
  CHECK(defect_of({}, size) == QueueConfigDefect::Size);
}

TEST_CASE("a misaligned part is refused") {
  QueuePlace place;
  SECTION("descriptor table, 16 bytes") {
    place.descriptors += GENERATE(1U, 2U, 4U, 8U);
  }
  SECTION("available ring, 2 bytes") {
    place.available += 1;
  }
  SECTION("used ring, 4 bytes") {
    place.used += GENERATE(1U, 2U);
  }
  CHECK(defect_of(place, 8) == QueueConfigDefect::Alignment);
}

TEST_CASE("the smallest alignment that the specification asks for is enough") {
  QueuePlace place;
  place.descriptors += 16;
  place.available += 2;
  place.used += 4;
  CHECK(defect_of(place, 8) == QueueConfigDefect::None);
}

TEST_CASE("a part that is not wholly inside one memory region is refused") {
  QueuePlace place;
  SECTION("table ends one entry behind the region") {
    place.descriptors = kHighEnd - 7 * 16;
  }
  SECTION("available ring crosses into the hole") {
    place.available = kLowStart + kLowBytes - 4;
  }
  SECTION("used ring without room for avail_event") {
    place.used = kHighEnd - (4 + 8 * 8);
  }
  SECTION("table in a hole") {
    place.descriptors = kLowStart + kLowBytes + 0x1000;
  }
  SECTION("used ring at the end of the address space") {
    place.used = 0xffff'ffff'ffff'fffc;
  }
  SECTION("table below memory") {
    place.descriptors = 0;
  }
  CHECK(defect_of(place, 8) == QueueConfigDefect::OutsideMemory);
}

TEST_CASE("a ring that ends exactly at the end of a region becomes ready") {
  QueuePlace place;
  place.descriptors = kHighEnd - 8 * 16;
  place.used = kLowStart + kLowBytes - (4 + 8 * 8 + 4);
  CHECK(defect_of(place, 8) == QueueConfigDefect::None);
}

TEST_CASE("while ready nothing changes, afterwards everything can") {
  const GuestMemory memory = make_memory();
  QueueConfig config = configure({}, 8);
  REQUIRE(config.make_ready(memory) == QueueConfigDefect::None);

  config.set_size(16);
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, 0x123);
  CHECK(config.size() == 8);
  CHECK(config.address(QueuePart::UsedRing) == GuestAddress(QueuePlace{}.used));

  config.make_unready();
  config.set_size(16);
  CHECK_FALSE(config.ready());
  CHECK(config.size() == 16);
}

TEST_CASE("a queue that is not ready gives no live queue") {
  const GuestMemory memory = make_memory();
  CHECK_FALSE(configure({}, 8).activate(memory, 0).has_value());
}

TEST_CASE("a refused configuration does not stay ready from before") {
  const GuestMemory memory = make_memory();
  QueueConfig config = configure({}, 8);
  REQUIRE(config.make_ready(memory) == QueueConfigDefect::None);
  config.make_unready();
  config.set_size(7);
  CHECK(config.make_ready(memory) == QueueConfigDefect::Size);
  CHECK_FALSE(config.ready());
}

TEST_CASE("address halves are set apart from each other") {
  QueueConfig config(256);
  config.set_address(QueuePart::AvailableRing, AddressHalf::High, 0x11223344);
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, 0x55667788);
  CHECK(config.address(QueuePart::AvailableRing) == GuestAddress(0x1122334455667788));
}
