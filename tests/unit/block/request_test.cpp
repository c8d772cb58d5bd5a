// What a driver may ask of a disk, and what it gets for asking badly. Each malformed request comes back, with an error,
// and nothing else has changed.
#include <catch2/catch.hpp>

#include "tests/unit/block/block_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

/// A request that must be refused: the status it gets, the used length, and an untouched disk and memory.
void check_refused(ScriptedRig& rig, std::uint16_t head, std::uint8_t status) {
  rig.driver.queue.guest().fill(kData, 0x1000, 0x33);
  const auto disk_before = rig.backend->disk;
  CHECK(rig.run(head) == 1);
  CHECK(rig.driver.status() == status);
  CHECK(rig.backend->disk == disk_before);
  CHECK(rig.driver.queue.guest().holds(kData, 0x1000, 0x33));
  CHECK(rig.signals.needs_reset_count == 0);

  // The queue goes on.
  rig.driver.offer(3, kIn, 0, 0x2a000, 512);
  rig.kick();
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_used() == Used{3, 513});
  CHECK(rig.driver.status(3) == kOk);
}

}  // namespace

TEST_CASE("a read brings the sectors and says how many bytes it wrote") {
  ScriptedRig rig;
  std::fill_n(rig.backend->disk.begin() + 512, 1024, std::byte{0x5a});
  CHECK(rig.run(rig.driver.build(0, kIn, 1, kData, 1024)) == 1025);
  CHECK(rig.driver.status() == kOk);
  CHECK(rig.driver.queue.guest().holds(kData, 1024, 0x5a));
}

TEST_CASE("a write changes its sectors and no others, and writes one byte to the guest") {
  ScriptedRig rig;
  rig.driver.queue.guest().fill(kData, 512, 0x77);
  CHECK(rig.run(rig.driver.build(0, kOut, 2, kData, 512)) == 1);
  CHECK(rig.driver.status() == kOk);
  CHECK(std::count(rig.backend->disk.begin(), rig.backend->disk.end(), std::byte{0x77}) == 512);
  CHECK(rig.backend->disk[1024] == std::byte{0x77});
}

TEST_CASE("a flush reaches the backend") {
  ScriptedRig rig;
  rig.driver.queue.offer(rig.driver.build(0, kFlushType, 0, 0, 0));
  rig.kick();
  REQUIRE(rig.backend->pending.size() == 1);
  CHECK(rig.backend->pending[0].kind == IoKind::Flush);
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_used() == Used{0, 1});
  CHECK(rig.driver.status() == kOk);
}

TEST_CASE("the identification is twenty bytes") {
  ScriptedRig rig;
  CHECK(rig.run(rig.driver.build(0, kGetIdType, 0, kData, 20)) == 21);
  CHECK(rig.driver.status() == kOk);
  CHECK(rig.driver.queue.guest().holds(kData, 20, 'd'));
}

TEST_CASE("a longer buffer for the identification gets twenty bytes and no more") {
  ScriptedRig rig;
  CHECK(rig.run(rig.driver.build(0, kGetIdType, 0, kData, 32)) == 21);
  CHECK(rig.driver.queue.guest().holds(kData + 20, 12, 0));
}

TEST_CASE("the last sector can be read and written") {
  ScriptedRig rig;
  CHECK(rig.run(rig.driver.build(0, kIn, kDiskSectors - 1, kData, 512)) == 513);
  CHECK(rig.run(rig.driver.build(0, kOut, kDiskSectors - 1, kData, 512)) == 1);
  CHECK(rig.driver.status() == kOk);
}

// Framing means nothing.

TEST_CASE("header, data and status may be cut anywhere") {
  ScriptedRig rig;
  std::fill_n(rig.backend->disk.begin(), 512, std::byte{0x5a});
  rig.driver.put_header(kHeader, kIn, 0);
  const auto head = ChainBuilder(rig.driver.queue, 0)
                        .readable(kHeader, 3)
                        .readable(kHeader + 3, 12)
                        .readable(kHeader + 15, 1)
                        .writable(kData, 100)
                        .writable(kData + 100, 411)
                        .writable(kData + 511, 2)
                        .build();
  CHECK(rig.run(head) == 513);
  CHECK(rig.driver.queue.guest().holds(kData, 512, 0x5a));
  CHECK(rig.driver.queue.guest().get(kData + 512, 1) == kOk);
}

TEST_CASE("with several data buffers the status is the byte behind the last one") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  const auto head = ChainBuilder(rig.driver.queue, 0)
                        .readable(kHeader, 16)
                        .writable(kData, 512)
                        .writable(kData + 0x400, 1024)
                        .writable(kStatus, 1)
                        .build();
  CHECK(rig.run(head) == 1537);
  CHECK(rig.driver.status() == kOk);
}

TEST_CASE("header and data of a write may share a buffer") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kOut, 0);
  rig.driver.queue.guest().fill(kHeader + 16, 512, 0x44);
  const auto head = ChainBuilder(rig.driver.queue, 0).readable(kHeader, 16 + 512).writable(kStatus, 1).build();
  CHECK(rig.run(head) == 1);
  CHECK(rig.driver.status() == kOk);
  CHECK(std::count(rig.backend->disk.begin(), rig.backend->disk.end(), std::byte{0x44}) == 512);
}

TEST_CASE("an indirect request works like a direct one") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  const auto head = ChainBuilder(rig.driver.queue, 0)
                        .readable(kHeader, 16)
                        .writable(kData, 512)
                        .writable(kStatus, 1)
                        .build_indirect(0x30000);
  CHECK(rig.run(head) == 513);
  CHECK(rig.driver.status() == kOk);
}

TEST_CASE("a write with a status buffer of several bytes gets its answer in the last one") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kOut, 0);
  const auto head =
      ChainBuilder(rig.driver.queue, 0).readable(kHeader, 16).readable(kData, 512).writable(kStatus, 4).build();
  CHECK(rig.run(head) == 1);
  CHECK(rig.driver.queue.guest().get(kStatus, 4) == 0x00eeeeee);
}

TEST_CASE("as many data buffers as seg_max says work") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  ChainBuilder builder(rig.driver.queue, 0);
  builder.readable(kHeader, 16);
  for (std::uint32_t index = 0; index < kMaxDataSegments; ++index) {
    builder.writable(kData + index * 256, 256);
  }
  CHECK(rig.run(builder.writable(kStatus, 1).build_indirect(0x30000)) == kMaxDataSegments * 256 + 1);
  CHECK(rig.driver.status() == kOk);
}

// Bad input.

TEST_CASE("a sector at or beyond the end of the disk is an I/O error") {
  ScriptedRig rig;
  const auto type = GENERATE(as<std::uint32_t>{}, kIn, kOut);
  const auto sector = GENERATE(as<std::uint64_t>{}, kDiskSectors, kDiskSectors + 1, std::uint64_t{1} << 55U,
                               UINT64_MAX / 512, UINT64_MAX - 1, UINT64_MAX);
  check_refused(rig, rig.driver.build(0, type, sector, kData, 512), kIoErr);
}

TEST_CASE("a transfer that begins on the disk and ends beyond it is an I/O error, as a whole") {
  ScriptedRig rig;
  const auto type = GENERATE(as<std::uint32_t>{}, kIn, kOut);
  check_refused(rig, rig.driver.build(0, type, kDiskSectors - 1, kData, 1024), kIoErr);
}

TEST_CASE("data that is not whole sectors is an I/O error") {
  ScriptedRig rig;
  const auto type = GENERATE(as<std::uint32_t>{}, kIn, kOut);
  const auto length = GENERATE(1U, 511U, 513U, 1023U);
  check_refused(rig, rig.driver.build(0, type, 0, kData, length), kIoErr);
}

TEST_CASE("a read or write without data is an I/O error") {
  ScriptedRig rig;
  const auto type = GENERATE(as<std::uint32_t>{}, kIn, kOut);
  check_refused(rig, rig.driver.build(0, type, 0, 0, 0), kIoErr);
}

TEST_CASE("data in the wrong direction is an I/O error") {
  ScriptedRig rig;
  const auto type = GENERATE(as<std::uint32_t>{}, kIn, kOut);
  rig.driver.put_header(kHeader, type, 0);
  ChainBuilder builder(rig.driver.queue, 0);
  builder.readable(kHeader, 16).add(kData, 512, type == kOut ? kWrite : std::uint16_t{0}).writable(kStatus, 1);
  check_refused(rig, builder.build(), kIoErr);
}

TEST_CASE("a header shorter than sixteen bytes is an I/O error") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  const auto length = GENERATE(0U, 1U, 15U);
  const auto head =
      ChainBuilder(rig.driver.queue, 0).readable(kHeader, length).writable(kData, 512).writable(kStatus, 1).build();
  check_refused(rig, head, kIoErr);
}

TEST_CASE("a data buffer outside memory is an I/O error") {
  ScriptedRig rig;
  const auto type = GENERATE(as<std::uint32_t>{}, kIn, kOut);
  const auto address = GENERATE(as<std::uint64_t>{}, 0, kLowStart + kLowBytes - 256, kHighStart - 1, UINT64_MAX - 255);
  check_refused(rig, rig.driver.build(0, type, 0, address, 512), kIoErr);
}

TEST_CASE("a header outside memory is an I/O error") {
  ScriptedRig rig;
  const auto head = ChainBuilder(rig.driver.queue, 0).readable(0, 16).writable(kData, 512).writable(kStatus, 1).build();
  check_refused(rig, head, kIoErr);
}

TEST_CASE("a readable buffer behind a writable one is an I/O error") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  const auto head =
      ChainBuilder(rig.driver.queue, 0).writable(kData, 512).readable(kHeader, 16).writable(kStatus, 1).build();
  check_refused(rig, head, kIoErr);
}

TEST_CASE("more data buffers than seg_max says are an I/O error") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  ChainBuilder builder(rig.driver.queue, 0);
  builder.readable(kHeader, 16);
  for (std::uint32_t index = 0; index < kMaxDataSegments + 2; ++index) {
    builder.writable(kData, 4);
  }
  check_refused(rig, builder.writable(kStatus, 1).build_indirect(0x30000), kIoErr);
}

TEST_CASE("a request for an identification with less than twenty bytes is an I/O error") {
  ScriptedRig rig;
  check_refused(rig, rig.driver.build(0, kGetIdType, 0, kData, GENERATE(1U, 19U)), kIoErr);
}

TEST_CASE("types that are not offered are unsupported") {
  ScriptedRig rig;
  const auto type =
      GENERATE(as<std::uint32_t>{}, 2, 3, 5, 9, 10, kDiscard, 12, kWriteZeroes, 14, 0x80000000, 0x80000001, UINT32_MAX);
  rig.driver.put_header(kHeader, type, 0);
  const auto head =
      ChainBuilder(rig.driver.queue, 0).readable(kHeader, 16).readable(kData, 16).writable(kStatus, 1).build();
  check_refused(rig, head, kUnsupp);
  CHECK(rig.device->metrics().invalid_reqs_count.total() == 1);
}

TEST_CASE("a write to a read-only disk is an I/O error, whatever the driver negotiated") {
  ScriptedRig rig({kDiskSectors, Access::ReadOnly}, CacheType::Unsafe,
                  GENERATE(as<std::uint64_t>{}, kBlockFeatures, kBlockFeatures | block_feature::kReadOnly));
  check_refused(rig, rig.driver.build(0, kOut, 0, kData, 512), kIoErr);
}

TEST_CASE("a request without a writable byte comes back with length 0") {
  ScriptedRig rig;
  rig.driver.put_header(kHeader, kIn, 0);
  ChainBuilder builder(rig.driver.queue, 0);
  SECTION("header only") {
    builder.readable(kHeader, 16);
  }
  SECTION("header and readable data") {
    builder.readable(kHeader, 16).readable(kData, 512);
  }
  SECTION("status of length 0") {
    builder.readable(kHeader, 16).writable(kStatus, 0);
  }
  SECTION("status outside memory") {
    builder.readable(kHeader, 16).writable(kData, 512).writable(0, 1);
  }
  SECTION("nothing at all") {
    builder.readable(0, 0);
  }
  const auto before = rig.driver.queue.guest().holds(kStatus, 0x100, kUntouched);
  CHECK(rig.run(builder.build()) == 0);
  CHECK(before);
  CHECK(rig.driver.queue.guest().holds(kStatus, 0x100, kUntouched));
  CHECK(rig.device->metrics().execute_fails.total() == 1);
}

TEST_CASE("an indirect table outside memory comes back with length 0") {
  ScriptedRig rig;
  rig.driver.queue.put_descriptor(0, 0, 48, kIndirect, 0);
  CHECK(rig.run(0) == 0);
  CHECK(rig.signals.needs_reset_count == 0);
}

TEST_CASE("a request larger than what is advertised is an I/O error") {
  const GuestRange ranges[] = {{GuestAddress(kLowStart), std::uint64_t{1} << 28U}};
  auto memory = GuestMemory::create(ranges, PageBacking::Normal);
  REQUIRE(memory.ok());
  BlockDriver driver(memory.value());
  driver.put_header(kHeader, kIn, 0);
  QueueConfig config(256);
  auto interrupt = make_interrupt();
  Activation activation = activation_for(memory.value(), driver.queue, *interrupt, kBlockFeatures);
  driver.queue.offer(ChainBuilder(driver.queue, 0)
                         .readable(kHeader, 16)
                         .writable(kData, kMaxRequestBytes + 512)
                         .writable(kStatus, 1)
                         .build());
  PopResult popped = activation.queues[0]->pop();
  const DescriptorChain& chain = std::get<DescriptorChain>(popped);
  const BlockRequest request = parse_block_request(chain, {UINT64_MAX / 512, Access::ReadWrite});
  CHECK(request.defect == RequestDefect::DataTooLong);
}

TEST_CASE("a header that the driver changes after the pop is not looked at again") {
  ScriptedRig rig;
  rig.driver.queue.offer(rig.driver.build(0, kIn, 1, kData, 512));
  rig.kick();
  rig.driver.put_header(kHeader, kOut, UINT64_MAX);
  REQUIRE(rig.backend->pending.size() == 1);
  CHECK(rig.backend->pending[0].kind == IoKind::Read);
  CHECK(rig.backend->pending[0].offset_bytes == 512);
  rig.backend->finish_all();
  rig.turn();
  CHECK(rig.driver.queue.take_used() == Used{0, 513});
}

TEST_CASE("every defect has a name and a status, and only no defect is success") {
  CHECK(status_of(RequestDefect::None) == BlockStatus::Ok);
  CHECK(status_of(RequestDefect::UnsupportedType) == BlockStatus::Unsupported);
  CHECK(status_of(RequestDefect::OutsideDisk) == BlockStatus::IoError);
  CHECK(std::string(request_defect_name(RequestDefect::UnsupportedType)) == "unsupported type");
}
