#include <catch2/catch.hpp>

#include "tests/unit/virtio/queue_rig.h"
#include "virtio/core/chain_walk.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kData = 0x20000;
constexpr std::uint64_t kTable = 0x30000;
constexpr std::uint64_t kLowEnd = kLowStart + kLowBytes;

std::vector<std::byte> read_all(ChainReader reader) {
  std::vector<std::byte> bytes(reader.size_bytes());
  const bool read = reader.read_bytes(bytes);
  WISP_ASSERT(read);
  return bytes;
}

/// `count` one-byte buffers in an indirect table; the last one writable.
void offer_long_indirect(QueueRig& rig, std::size_t count) {
  ChainBuilder builder(rig.driver, 0);
  for (std::size_t index = 0; index + 1 < count; ++index) {
    builder.readable(kData + index, 1);
  }
  rig.driver.offer(builder.writable(kData + 0x8000, 1).build_indirect(kTable));
}

}  // namespace

TEST_CASE("reader and writer see the bytes across descriptors, in order") {
  QueueRig rig;
  rig.driver.guest().put(kData, 0x04030201, 4);
  rig.driver.guest().put(kData + 0x100, 0x0605, 2);
  rig.driver.offer(ChainBuilder(rig.driver, 0)
                       .readable(kData, 4)
                       .readable(kData + 0x100, 2)
                       .writable(kData + 0x200, 3)
                       .writable(kData + 0x300, 2)
                       .build());
  DescriptorChain chain = rig.pop_chain();

  CHECK(chain.reader().size_bytes() == 6);
  CHECK(read_all(chain.reader()) ==
        std::vector<std::byte>{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}, std::byte{6}});
  const std::vector<std::byte> answer(4, std::byte{0xaa});
  CHECK(chain.writer().write_bytes(answer));
  std::move(chain).complete(4);

  CHECK(rig.driver.guest().holds(kData + 0x200, 3, 0xaa));
  CHECK(rig.driver.guest().get(kData + 0x300, 2) == 0x00aa);
}

TEST_CASE("a value is read across three descriptors") {
  QueueRig rig;
  rig.driver.guest().put(kData, 0x1122334455667788, 8);
  rig.driver.offer(
      ChainBuilder(rig.driver, 0).readable(kData, 1).readable(kData + 1, 6).readable(kData + 7, 1).build());
  const DescriptorChain chain = rig.pop_chain();
  ChainReader reader = chain.reader();
  const auto value = reader.read<Le64>();
  REQUIRE(value.has_value());
  CHECK(value->get() == 0x1122334455667788);
  CHECK(reader.empty());
}

TEST_CASE("a read of more than there is copies and consumes nothing") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0).readable(kData, 7).build());
  const DescriptorChain chain = rig.pop_chain();
  ChainReader reader = chain.reader();
  CHECK_FALSE(reader.read<Le64>().has_value());
  CHECK(reader.size_bytes() == 7);
}

TEST_CASE("a write of more than there is writes nothing") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0).writable(kData, 2).writable(kData + 0x10, 1).build());
  const DescriptorChain chain = rig.pop_chain();
  const auto before = rig.driver.guest().image();
  const std::vector<std::byte> four(4, std::byte{0xee});
  CHECK_FALSE(chain.writer().write_bytes(four));
  CHECK(rig.driver.guest().image() == before);
}

TEST_CASE("a split writer cannot reach the other part") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0).writable(kData, 3).writable(kData + 0x10, 3).build());
  const DescriptorChain chain = rig.pop_chain();
  ChainWriter front = chain.writer();
  ChainWriter back = front.split_off(4);
  CHECK(front.size_bytes() == 4);
  CHECK(back.size_bytes() == 2);
  const std::vector<std::byte> two(2, std::byte{0x22});
  const std::vector<std::byte> five(5, std::byte{0x55});
  CHECK_FALSE(front.write_bytes(five));
  CHECK(back.write_bytes(two));
  CHECK(rig.driver.guest().get(kData + 0x10, 4) == 0x00222200);
}

TEST_CASE("what the kernel wrote is marked dirty, page by page, and no further") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0).writable(kData, 0x1000).writable(kData + 0x4000, 0x2000).build());
  DescriptorChain chain = rig.pop_chain();
  rig.memory.clear_dirty_logs();
  ChainWriter writer = chain.writer();
  writer.mark_written(0x1001);
  const DirtyLog& log = rig.memory.dirty_log(0);
  CHECK(log.dirty_page_count() == 2);
  CHECK(log.is_dirty((kData - kLowStart) / 0x1000));
  CHECK(log.is_dirty((kData + 0x4000 - kLowStart) / 0x1000));
  CHECK(writer.size_bytes() == 0x1fff);
  std::move(chain).abandon();
}

TEST_CASE("a driver that rewrites its descriptors after the pop changes nothing") {
  QueueRig rig;
  rig.driver.guest().fill(kData, 16, 0x11);
  rig.driver.offer(ChainBuilder(rig.driver, 0).readable(kData, 16).build());
  const DescriptorChain chain = rig.pop_chain();
  rig.driver.put_descriptor(0, 0xdead'0000'0000, 0xffff'ffff, kWrite | kNext, 0xffff);
  CHECK(read_all(chain.reader()) == std::vector<std::byte>(16, std::byte{0x11}));
  CHECK(chain.writer().empty());
}

TEST_CASE("a descriptor of length zero is no buffer, wherever it points") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0)
                       .readable(0xffff'ffff'ffff'ffff, 0)
                       .readable(kData, 4)
                       .writable(0, 0)
                       .writable(kData + 8, 1)
                       .build());
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::None);
  CHECK(chain.reader().size_bytes() == 4);
  CHECK(chain.writer().size_bytes() == 1);
}

TEST_CASE("a chain of nothing but zero lengths has no bytes") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0).readable(kData, 0).writable(kData, 0).build());
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::None);
  CHECK(chain.reader().empty());
  CHECK(chain.writer().empty());
}

// Faults of the ring.

TEST_CASE("next that is not below the queue size is a fault") {
  QueueRig rig;
  rig.driver.put_descriptor(0, kData, 16, kNext, GENERATE(std::uint16_t{8}, std::uint16_t{0xffff}));
  rig.driver.offer(0);
  CHECK(rig.pop_fault() == QueueFault::NextOutOfRange);
}

TEST_CASE("next without the NEXT flag means nothing") {
  QueueRig rig;
  rig.driver.put_descriptor(0, kData, 16, 0, 0xffff);
  rig.driver.offer(0);
  CHECK(rig.pop_chain().reader().size_bytes() == 16);
}

TEST_CASE("a loop of descriptors is a fault") {
  QueueRig rig;
  SECTION("onto itself") {
    rig.driver.put_descriptor(0, kData, 16, kNext, 0);
  }
  SECTION("of two") {
    rig.driver.put_descriptor(0, kData, 16, kNext, 1);
    rig.driver.put_descriptor(1, kData, 16, kNext, 0);
  }
  SECTION("of zero lengths") {
    rig.driver.put_descriptor(0, kData, 0, kNext, 0);
  }
  SECTION("of buffers outside memory") {
    rig.driver.put_descriptor(0, 0, 16, kNext, 0);
  }
  rig.driver.offer(0);
  CHECK(rig.pop_fault() == QueueFault::ChainTooLong);
}

TEST_CASE("a chain as long as the queue is legal") {
  QueueRig rig(4);
  rig.driver.offer(
      ChainBuilder(rig.driver, 0).readable(kData, 1).readable(kData, 1).readable(kData, 1).writable(kData, 1).build());
  CHECK(rig.pop_chain().reader().size_bytes() == 3);
}

TEST_CASE("an indirect descriptor that was not negotiated is a fault") {
  QueueRig rig(8, feature::kVersion1);
  rig.driver.offer(ChainBuilder(rig.driver, 0).readable(kData, 4).build_indirect(kTable));
  CHECK(rig.pop_fault() == QueueFault::IndirectNotNegotiated);
}

TEST_CASE("a broken indirect descriptor is a fault") {
  QueueRig rig;
  rig.driver.put_descriptor_at(kTable, kData, 4, 0, 0);
  std::uint32_t length = 16;
  std::uint16_t flags = kIndirect;
  QueueFault expected = QueueFault::IndirectTableLength;
  SECTION("length zero") {
    length = 0;
  }
  SECTION("length not a multiple of 16") {
    length = GENERATE(1U, 15U, 17U, 0xffffffffU);
  }
  SECTION("with NEXT") {
    flags = kIndirect | kNext;
    expected = QueueFault::IndirectWithNext;
  }
  SECTION("to a table that holds another one") {
    rig.driver.put_descriptor_at(kTable, kTable + 0x100, 16, kIndirect, 0);
    expected = QueueFault::NestedIndirect;
  }
  rig.driver.put_descriptor(0, kTable, length, flags, 1);
  rig.driver.offer(0);
  CHECK(rig.pop_fault() == expected);
}

TEST_CASE("next behind the end of an indirect table is a fault, even below the queue size") {
  QueueRig rig;
  rig.driver.put_descriptor_at(kTable, kData, 4, kNext, 2);
  rig.driver.put_descriptor(0, kTable, 32, kIndirect, 0);
  rig.driver.offer(0);
  CHECK(rig.pop_fault() == QueueFault::NextOutOfRange);
}

TEST_CASE("a loop inside an indirect table is a fault") {
  QueueRig rig;
  rig.driver.put_descriptor_at(kTable, kData, 4, kNext, 1);
  rig.driver.put_descriptor_at(kTable + 16, kData, 4, kNext, 0);
  rig.driver.put_descriptor(0, kTable, 32, kIndirect, 0);
  rig.driver.offer(0);
  CHECK(rig.pop_fault() == QueueFault::ChainTooLong);
}

TEST_CASE("more descriptors in an indirect table than any queue has are a fault") {
  QueueRig rig;
  offer_long_indirect(rig, 257);
  CHECK(rig.pop_fault() == QueueFault::ChainTooLong);
}

// Indirect tables that work.

TEST_CASE("an indirect chain may be longer than the queue") {
  QueueRig rig(4);
  offer_long_indirect(rig, kMaxSegments);
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::None);
  CHECK(chain.reader().size_bytes() == kMaxSegments - 1);
  CHECK(chain.writer().size_bytes() == 1);
}

TEST_CASE("normal descriptors may come before one indirect descriptor, whose WRITE flag means nothing") {
  QueueRig rig;
  rig.driver.put_descriptor_at(kTable, kData + 0x100, 8, kWrite, 0);
  rig.driver.put_descriptor(0, kData, 4, kNext, 1);
  rig.driver.put_descriptor(1, kTable, 16, kIndirect | kWrite, 0);
  rig.driver.offer(0);
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.reader().size_bytes() == 4);
  CHECK(chain.writer().size_bytes() == 8);
}

// Defects of one request.

TEST_CASE(
    "a buffer that is not wholly inside one region is a defect, and the last writable byte is left for the answer") {
  const auto bad_address =
      GENERATE(std::uint64_t{0}, kLowEnd, kLowEnd - 511, kHighStart - 1, std::uint64_t{0xffff'ffff'ffff'ff00});
  QueueRig rig;
  rig.driver.offer(
      ChainBuilder(rig.driver, 0).readable(kData, 16).writable(bad_address, 512).writable(kData + 0x100, 4).build());
  DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::BufferOutsideMemory);
  CHECK(chain.reader().empty());
  REQUIRE(chain.writer().size_bytes() == 1);
  const std::vector<std::byte> one(1, std::byte{0x7f});
  CHECK(chain.writer().write_bytes(one));
  CHECK(rig.driver.guest().get(kData + 0x100, 4) == 0x7f000000);
}

TEST_CASE("a defect whose last descriptor cannot be written leaves no byte for the answer") {
  QueueRig rig;
  ChainBuilder builder(rig.driver, 0);
  builder.readable(0, 16).writable(kData, 16);
  SECTION("outside memory") {
    builder.writable(0, 1);
  }
  SECTION("readable") {
    builder.readable(kData, 1);
  }
  SECTION("empty") {
    builder.writable(kData, 0);
  }
  rig.driver.offer(builder.build());
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::BufferOutsideMemory);
  CHECK(chain.writer().empty());
}

TEST_CASE("a readable buffer behind a writable one is a defect") {
  QueueRig rig;
  rig.driver.offer(
      ChainBuilder(rig.driver, 0).readable(kData, 4).writable(kData, 4).readable(kData, 4).writable(kData, 1).build());
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::ReadableAfterWritable);
  CHECK(chain.writer().size_bytes() == 1);
}

TEST_CASE("buffers that add up to more than 32 bits are a defect") {
  const GuestRange ranges[] = {{GuestAddress(0), std::uint64_t{1} << 32U}};
  auto memory = GuestMemory::create(ranges, PageBacking::Normal);
  REQUIRE(memory.ok());
  const std::uint32_t half = 0x8000'0000;
  FakeQueue driver(memory.value(), {}, 8);
  VirtQueue queue = activate(memory.value(), {}, 8, kAllQueueFeatures);
  driver.offer(ChainBuilder(driver, 0).readable(0, half).writable(0, half).writable(kData, 1).build());
  PopResult popped = queue.pop();
  CHECK(std::get<DescriptorChain>(popped).defect() == ChainDefect::TotalTooLong);
}

TEST_CASE("an indirect table outside memory is a defect of that request") {
  const auto bad_address =
      GENERATE(std::uint64_t{0}, kLowEnd - 16, kHighStart - 16, std::uint64_t{0xffff'ffff'ffff'fff0});
  QueueRig rig;
  rig.driver.put_descriptor(0, bad_address, 32, kIndirect, 0);
  rig.driver.offer(0);
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::IndirectTableOutsideMemory);
  CHECK(chain.writer().empty());
}

TEST_CASE("more buffers than are advertised are a defect, and the status byte is found all the same") {
  QueueRig rig;
  offer_long_indirect(rig, kMaxSegments + 1);
  const DescriptorChain chain = rig.pop_chain();
  CHECK(chain.defect() == ChainDefect::TooManySegments);
  CHECK(chain.writer().size_bytes() == 1);
}

TEST_CASE("a queue goes on after a request with a defect") {
  QueueRig rig;
  rig.driver.offer(ChainBuilder(rig.driver, 0).readable(0, 16).build());
  rig.offer_one(3);
  rig.answer_one(0);
  rig.answer_one(5);
  (void)rig.queue.publish();
  CHECK(rig.driver.take_all_used() == std::vector<Used>{{0, 0}, {3, 5}});
}

TEST_CASE("every fault and defect has a name of its own") {
  CHECK(std::string(queue_fault_name(QueueFault::AvailIndexJump)) == "available index jumped");
  CHECK(std::string(queue_fault_name(QueueFault::IndirectTableLength)) == "indirect table length");
  CHECK(std::string(chain_defect_name(ChainDefect::None)) == "none");
  CHECK(std::string(chain_defect_name(ChainDefect::TooManySegments)) == "too many segments");
}
