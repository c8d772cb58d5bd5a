#include <catch2/catch.hpp>

#include "tests/unit/net/net_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kOffloading = kMerge | net_feature::kCsum | net_feature::kHostTso4;

VnetHeader tso4() {
  VnetHeader header;
  header.flags = vnet::kNeedsCsum;
  header.gso_type = vnet::kGsoTcp4;
  header.hdr_len = 54;
  header.gso_size = 1400;
  header.csum_start = 34;
  header.csum_offset = 16;
  return header;
}

VnetHeader header_of(const Bytes& sent) {
  VnetHeader header;
  std::memcpy(&header, sent.data(), sizeof(header));
  return header;
}

Bytes arp_frame(std::size_t size, std::uint8_t seed) {
  Bytes frame = make_frame(size, seed);
  frame[12] = std::byte{0x08};
  frame[13] = std::byte{0x06};
  return frame;
}

}  // namespace

TEST_CASE("net tx: a frame goes out as it is and its chain comes back with length 0") {
  NetRig rig;
  rig.offer(0, make_frame(60, 1));
  rig.offer(1, make_frame(1514, 2));
  rig.kick(1);
  REQUIRE(rig.tap->sent.size() == 2);
  CHECK(without_header(rig.tap->sent[0]) == make_frame(60, 1));
  CHECK(without_header(rig.tap->sent[1]) == make_frame(1514, 2));
  CHECK(header_of(rig.tap->sent[0]).flags == 0);
  CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}, {1, 0}});
  CHECK(rig.metrics().tx_packets_count.total() == 2);
  CHECK(rig.metrics().tx_count.total() == 2);
  CHECK(rig.metrics().tx_bytes_count.total() == 1574);
  CHECK(rig.metrics().tx_queue_event_count.total() == 1);
  rig.kick(1);
  CHECK(rig.metrics().no_tx_avail_buffer.total() == 1);
}

TEST_CASE("net tx: Firecracker 0.22 and CHV 559faa272, runts and a chain without a header are refused") {
  for (const std::uint32_t length : {1U, 11U, 12U, 25U}) {
    NetRig rig;
    rig.tx.offer(ChainBuilder(rig.tx, 0).readable(kTxBuffers, length).build());
    rig.kick(1);
    CHECK(rig.tap->writes == 0);
    CHECK(rig.metrics().tx_malformed_frames.total() == 1);
    CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}});
    CHECK(rig.signals.needs_reset_count == 0);
  }
}

TEST_CASE("net tx: the smallest frame passes, and the largest; one byte more is refused") {
  NetRig rig;
  rig.tx.offer(ChainBuilder(rig.tx, 0).readable(kTxBuffers, 26).build());
  rig.tx.offer(ChainBuilder(rig.tx, 1).readable(kTxBuffers, 65562).build());
  rig.tx.offer(ChainBuilder(rig.tx, 2).readable(kTxBuffers, 65563).build());
  rig.kick(1);
  CHECK(rig.tap->writes == 2);
  CHECK(rig.metrics().tx_malformed_frames.total() == 1);
  CHECK(rig.tx.take_all_used().size() == 3);
}

TEST_CASE("net tx: a buffer outside memory, and one that is only writable") {
  NetRig rig;
  rig.tx.offer(ChainBuilder(rig.tx, 0).readable(kTxBuffers, 12).readable(0x60000, 100).build());
  rig.tx.offer(ChainBuilder(rig.tx, 2).writable(kTxBuffers, 100).build());
  const Bytes before = rig.guest.bytes(kTxBuffers, 0x1000);
  rig.kick(1);
  CHECK(rig.tap->writes == 0);
  CHECK(rig.metrics().tx_malformed_frames.total() == 2);
  CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}, {2, 0}});
  CHECK(rig.guest.bytes(kTxBuffers, 0x1000) == before);
}

TEST_CASE("net tx: framing means nothing: header and frame cut anywhere") {
  NetRig rig;
  const Bytes frame = make_frame(400, 3);
  rig.guest.fill(kTxBuffers, 12, 0);
  rig.guest.put_bytes(kTxBuffers + 12, frame);
  ChainBuilder builder(rig.tx, 0);
  builder.readable(kTxBuffers, 5).readable(kTxBuffers + 5, 8).readable(kTxBuffers + 13, 1);
  builder.readable(kTxBuffers + 14, 130).readable(kTxBuffers + 144, 268);
  rig.tx.offer(builder.build());
  rig.kick(1);
  REQUIRE(rig.tap->sent.size() == 1);
  CHECK(without_header(rig.tap->sent[0]) == frame);
}

TEST_CASE("net tx: QEMU CVE-2023-6693 and DPDK CVE-2024-11614, a hostile virtio-net header never reaches the host") {
  struct Case {
    const char* name;
    FrameDefect defect;
    std::function<void(VnetHeader&)> change;
  };
  const Case cases[] = {
      {"as it should be", FrameDefect::None, [](VnetHeader&) {}},
      {"checksum start beyond the frame", FrameDefect::CsumOutside, [](VnetHeader& h) { h.csum_start = 1000; }},
      {"checksum end one beyond", FrameDefect::CsumOutside, [](VnetHeader& h) { h.csum_offset = 200 - 34 - 1; }},
      {"both as large as they can be", FrameDefect::CsumOutside,
       [](VnetHeader& h) { h.csum_start = 0xffff, h.csum_offset = 0xffff; }},
      {"checksum in the Ethernet header", FrameDefect::CsumOutside, [](VnetHeader& h) { h.csum_start = 13; }},
      {"segmentation that was not negotiated", FrameDefect::GsoRefused,
       [](VnetHeader& h) { h.gso_type = vnet::kGsoTcp6; }},
      {"UDP segmentation not negotiated", FrameDefect::GsoRefused, [](VnetHeader& h) { h.gso_type = vnet::kGsoUdpL4; }},
      {"unknown segmentation", FrameDefect::GsoRefused, [](VnetHeader& h) { h.gso_type = 2; }},
      {"ECN, never offered", FrameDefect::GsoRefused, [](VnetHeader& h) { h.gso_type = 0x81; }},
      {"segmentation without checksum", FrameDefect::GsoWithoutCsum, [](VnetHeader& h) { h.flags = 0; }},
      {"segments of no size", FrameDefect::GsoSizeZero, [](VnetHeader& h) { h.gso_size = 0; }},
      {"header longer than the frame", FrameDefect::HeaderTooLong, [](VnetHeader& h) { h.hdr_len = 201; }},
  };
  for (const Case& each : cases) {
    INFO(each.name);
    NetRig rig(kOffloading);
    VnetHeader header = tso4();
    each.change(header);
    CHECK(check_tx_header(header, 200, kOffloading) == each.defect);
    rig.offer(0, make_frame(200, 1), header);
    rig.kick(1);
    const bool good = each.defect == FrameDefect::None;
    CHECK(rig.tap->writes == (good ? 1 : 0));
    CHECK(rig.metrics().tx_malformed_frames.total() == (good ? 0U : 1U));
    CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}});
  }
}

TEST_CASE("net tx: a checksum without CSUM negotiated is refused; flags and fields without meaning are cleared") {
  CHECK(check_tx_header(tso4(), 200, kMerge | net_feature::kHostTso4) == FrameDefect::CsumRefused);
  NetRig rig;
  VnetHeader header;
  header.flags = 0xfe;
  header.hdr_len = 0xffff;
  header.gso_size = 7;
  header.csum_start = 0xffff;
  header.num_buffers = 9;
  rig.offer(0, make_frame(60, 1), header);
  rig.kick(1);
  REQUIRE(rig.tap->sent.size() == 1);
  CHECK(Bytes(rig.tap->sent[0].begin(), rig.tap->sent[0].begin() + 12) == Bytes(12));
}

TEST_CASE("net tx: what was checked is what is sent, also when the driver rewrites it meanwhile") {
  NetRig rig(kOffloading);
  rig.offer(0, make_frame(100, 1), tso4());
  rig.tap->before_write = [&] { rig.guest.fill(kTxBuffers, 112, 0xff); };
  rig.kick(1);
  REQUIRE(rig.tap->sent.size() == 1);
  CHECK(without_header(rig.tap->sent[0]) == make_frame(100, 1));
  CHECK(header_of(rig.tap->sent[0]).csum_start == 34);
}

TEST_CASE("net tx: a full TAP: the chain goes back, and order is kept once it is writable") {
  NetRig rig;
  for (std::uint8_t slot = 0; slot < 3; ++slot) {
    rig.offer(slot, make_frame(60, slot));
  }
  rig.tap->write_errno = EAGAIN;
  rig.kick(1);
  CHECK(rig.tap->writes == 1);
  CHECK(rig.tx.take_all_used().empty());
  CHECK(rig.device->queue(1)->in_flight_count() == 0);
  CHECK(rig.signals.look_again_count == 0);
  CHECK(rig.metrics().tx_fails.total() == 0);
  CHECK(rig.metrics().tx_remaining_reqs_count.total() == 3);
  rig.tap->write_errno = 0;
  rig.arrive();
  REQUIRE(rig.tap->sent.size() == 3);
  for (std::uint8_t slot = 0; slot < 3; ++slot) {
    CHECK(without_header(rig.tap->sent[slot]) == make_frame(60, slot));
  }
  CHECK(rig.tx.take_all_used().size() == 3);
}

TEST_CASE("net tx: what the host refuses is counted and the chain completed: link down, no memory, short write") {
  for (const int fault : {EIO, ENOBUFS, EINVAL, EBADFD, 0}) {
    NetRig rig;
    rig.tap->write_errno = fault;
    rig.tap->lose_bytes = 1;
    rig.offer(0, make_frame(60, 1));
    rig.kick(1);
    CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}});
    CHECK(rig.metrics().tap_write_fails.total() == 1);
    CHECK(rig.metrics().tx_fails.total() == 1);
    CHECK(rig.metrics().tx_packets_count.total() == 0);
    rig.tap->write_errno = 0;
    rig.tap->lose_bytes = 0;
    rig.offer(1, make_frame(60, 2));
    rig.kick(1);
    CHECK(rig.metrics().tx_packets_count.total() == 1);
  }
}

TEST_CASE("net tx: a foreign source address is counted and sent all the same") {
  NetConfig config;
  config.guest_mac = MacAddress{2, 0, 0, 0, 0, 1};
  NetRig rig(kMerge | net_feature::kMac, config);
  Bytes own = make_frame(60, 1);
  std::ranges::copy(std::as_bytes(std::span(*config.guest_mac)), own.begin() + 6);
  rig.offer(0, own);
  rig.offer(1, make_frame(60, 1));
  rig.kick(1);
  CHECK(rig.tap->sent.size() == 2);
  CHECK(rig.metrics().tx_spoofed_mac_count.total() == 1);
}

TEST_CASE("net tx: limits act before sending, charge once, and never spin") {
  NetConfig config;
  config.tx_limits.bandwidth = TokenBucketConfig{150, 1000, std::nullopt};
  NetRig rig(kMerge, config);
  for (std::uint8_t slot = 0; slot < 3; ++slot) {
    rig.offer(slot, make_frame(100, slot));
  }
  CHECK(rig.kick(1) == 1);
  CHECK(rig.tap->sent.size() == 1);
  CHECK(rig.metrics().tx_rate_limiter_throttled.total() == 1);
  rig.clock.now += 400'000'000;
  rig.tap->write_errno = EAGAIN;  // a refusal of the TAP costs no tokens
  rig.kick(1);
  rig.tap->write_errno = 0;
  rig.kick(1);
  CHECK(rig.tap->sent.size() == 2);
  NetPatch patch;
  patch.tx_limits.bandwidth = TokenBucketConfig{0, 0, std::nullopt};
  rig.device->update_limits(patch);
  rig.kick(1);
  CHECK(rig.tap->sent.size() == 3);
}

TEST_CASE("net tx: the detour gets its frames whole and free of charge; the TAP never sees them") {
  NetConfig config;
  config.tx_limits.ops = TokenBucketConfig{1, 1000, std::nullopt};
  NetRig rig(kMerge, config);
  rig.detour->echo = true;
  rig.post(0, 1600);
  rig.post(1, 1600);
  rig.offer(0, arp_frame(60, 1));
  rig.offer(1, arp_frame(1518, 2));
  rig.offer(2, make_frame(60, 3));
  rig.kick(1);
  CHECK(rig.detour->received == std::vector<Bytes>{arp_frame(60, 1), arp_frame(1518, 2)});
  CHECK(rig.detour->longest_head == kDetourHeadBytes);
  CHECK(rig.tap->sent.size() == 1);
  CHECK(rig.tx.take_all_used().size() == 3);
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 72}, {1, 1530}});
  CHECK(without_header(rig.received(1, 1530)) == arp_frame(1518, 2));
}

TEST_CASE("net tx: Firecracker 4526, an oversized frame to the metadata service is dropped, not stored") {
  NetRig rig;
  rig.offer(0, arp_frame(1519, 1));
  rig.offer(1, arp_frame(60000, 1), {}, 0x1000);
  rig.kick(1);
  CHECK(rig.detour->received.empty());
  CHECK(rig.tap->sent.empty());
  CHECK(rig.metrics().tx_malformed_frames.total() == 2);
  CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}, {1, 0}});
}

TEST_CASE("net tx: pause with frames offered: none is sent before resume, none is lost") {
  NetRig rig;
  rig.device->quiesce();
  rig.offer(0, make_frame(60, 1));
  rig.kick(1);
  rig.arrive();
  CHECK(rig.tap->writes == 0);
  rig.device->resume();
  rig.kick(1);
  CHECK(rig.tap->sent.size() == 1);
  CHECK(rig.tx.take_all_used() == std::vector<Used>{{0, 0}});
}

TEST_CASE("net tx: QEMU CVE-2021-3748 and CVE-2022-26353, a thousand refused frames leave no chain behind") {
  NetRig rig;
  for (int round = 0; round < 1000; ++round) {
    rig.tx.offer(ChainBuilder(rig.tx, 0).readable(kTxBuffers, 20).build());
    rig.kick(1);
    REQUIRE(rig.tx.take_all_used().size() == 1);
  }
  CHECK(rig.device->queue(1)->in_flight_count() == 0);
  CHECK(rig.device->queue(1)->dropped_chain_count() == 0);
}

TEST_CASE("net tx: a head out of range breaks the device until it is reset") {
  NetRig rig;
  rig.tx.offer(200);
  rig.kick(1);
  CHECK(rig.signals.needs_reset_count == 1);
  rig.post(0, 1600);
  rig.tap->put(make_frame(60, 1));
  rig.arrive();
  CHECK(rig.rx.take_all_used().empty());
  rig.device->reset();
  rig.rx.start_over();
  rig.tx.start_over();
  rig.activate(kMerge);
  rig.offer(0, make_frame(60, 1));
  rig.kick(1);
  CHECK(rig.tap->sent.size() == 1);
}
