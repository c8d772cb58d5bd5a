#include <catch2/catch.hpp>

#include "tests/unit/net/net_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

/// What the driver puts together from `used` buffers that begin `spacing` apart.
Bytes merged(NetRig& rig, const std::vector<Used>& used, std::uint32_t spacing) {
  Bytes all;
  for (const Used& each : used) {
    if (each.length == 0) {
      continue;
    }
    const Bytes part = rig.received(static_cast<std::uint16_t>(each.id), each.length, spacing);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::uint64_t num_buffers(const NetRig& rig, std::uint16_t slot, std::uint32_t spacing = 0x1000) {
  return rig.guest.get(kRxBuffers + slot * std::uint64_t{spacing} + 10, 2);
}

TokenBucketConfig bucket(std::uint64_t size, std::uint64_t refill_ms) {
  return {size, refill_ms, std::nullopt};
}

}  // namespace

TEST_CASE("net rx: a small frame needs one small buffer, whatever else is posted") {
  NetRig rig(kMerge | net_feature::kGuestCsum | net_feature::kGuestTso4);
  rig.post(0, 200);
  rig.tap->put(make_frame(60, 1));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 72}});
  CHECK(without_header(rig.received(0, 72)) == make_frame(60, 1));
  CHECK(num_buffers(rig, 0) == 1);
  CHECK(rig.guest.holds(kRxBuffers + 72, 128, kUntouched));
  CHECK(rig.interrupt->status() == kInterruptUsedRing);
  CHECK(rig.metrics().rx_packets_count.total() == 1);
  CHECK(rig.metrics().rx_count.total() == 1);
  CHECK(rig.metrics().rx_bytes_count.total() == 60);
}

TEST_CASE("net rx: a large frame is merged over several chains, exactly, and the next one is direct") {
  NetRig rig(kMerge | net_feature::kGuestCsum | net_feature::kGuestTso4);
  for (std::uint16_t slot = 0; slot < 12; ++slot) {
    rig.post(slot, 1000, 0x1000);
  }
  VnetHeader header;
  header.gso_type = vnet::kGsoTcp4;
  header.flags = vnet::kNeedsCsum;
  header.gso_size = 1400;
  for (std::uint8_t round = 0; round < 2; ++round) {
    rig.tap->put(make_frame(4500, round), header);
    rig.arrive();
    const auto used = rig.rx.take_all_used();
    REQUIRE(used.size() == 5);
    CHECK(used.front().length == 1000);
    CHECK(used.back().length == 512);
    const Bytes all = merged(rig, used, 0x1000);
    CHECK(without_header(all) == make_frame(4500, round));
    CHECK(num_buffers(rig, static_cast<std::uint16_t>(used.front().id)) == 5);
    CHECK(all[1] == std::byte{vnet::kGsoTcp4});
  }
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
}

TEST_CASE("net rx: buffers gathered for a large frame go back when the next is small") {
  NetRig rig;
  for (std::uint16_t slot = 0; slot < 8; ++slot) {
    rig.post(slot, 512);
  }
  rig.tap->put(make_frame(1200, 1));
  rig.tap->put(make_frame(60, 2));
  rig.tap->put(make_frame(61, 3));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 512}, {1, 512}, {2, 188}, {3, 72}, {4, 73}});
  CHECK(without_header(rig.received(3, 72)) == make_frame(60, 2));
  CHECK(without_header(rig.received(4, 73)) == make_frame(61, 3));
}

TEST_CASE("net rx: CVE-2020-16843, a TAP and a ring that were full go on with the next kick, in order") {
  NetRig rig;
  for (std::uint8_t index = 0; index < 40; ++index) {
    rig.tap->put(make_frame(100, index));
  }
  rig.arrive();
  rig.turn();
  CHECK(rig.tap->reads == 0);
  CHECK(rig.metrics().no_rx_avail_buffer.total() == 1);
  // No further edge comes: the TAP is full.
  std::uint8_t next = 0;
  while (next < 40) {
    for (std::uint16_t slot = 0; slot < 10; ++slot) {
      rig.post(slot, 1600);
    }
    rig.kick(0);
    for (const Used& used : rig.rx.take_all_used()) {
      CHECK(without_header(rig.received(static_cast<std::uint16_t>(used.id), used.length)) == make_frame(100, next++));
    }
  }
  CHECK(rig.tap->waiting() == 0);
}

TEST_CASE("net rx: without buffers nothing spins, and kicks are wanted") {
  NetRig rig(kMerge | feature::kEventIndex);
  rig.tap->put(make_frame(100, 1));
  rig.arrive();
  CHECK(rig.kick(0) == 1);
  CHECK(rig.signals.look_again_count == 0);
  CHECK(rig.rx.avail_event() == rig.rx.available_index());
}

TEST_CASE("net rx: a frame that does not fit waits, its buffers stay the driver's, and only a new one brings a kick") {
  NetRig rig(kMerge | feature::kEventIndex);
  rig.post(0, 500);
  rig.post(1, 500);
  rig.tap->put(make_frame(1400, 9));
  rig.tap->put(make_frame(80, 10));
  rig.arrive();
  CHECK(rig.device->holds_frame());
  CHECK(rig.rx.take_all_used().empty());
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
  CHECK(rig.device->queue(0)->next_available() == 0);
  CHECK(rig.rx.avail_event() == 2);  // not 0: both buffers are known
  CHECK(rig.kick(0) == 1);
  CHECK(rig.signals.look_again_count == 0);
  rig.post(2, 500);
  rig.post(3, 500);
  rig.kick(0);
  const auto used = rig.rx.take_all_used();
  CHECK(used == std::vector<Used>{{0, 500}, {1, 500}, {2, 412}, {3, 92}});
  CHECK(without_header(merged(rig, {used[0], used[1], used[2]}, 0x1000)) == make_frame(1400, 9));
  CHECK(without_header(rig.received(3, 92)) == make_frame(80, 10));
  CHECK(rig.metrics().rx_fails.total() == 0);
}

TEST_CASE("net rx: a held frame is what the host sent, not what the driver wrote over it") {
  NetRig rig;
  rig.post(0, 500);
  rig.tap->put(make_frame(700, 9));
  rig.arrive();
  REQUIRE(rig.device->holds_frame());
  rig.guest.fill(kRxBuffers, 500, 0x11);
  rig.post(1, 500);
  rig.kick(0);
  CHECK(without_header(merged(rig, rig.rx.take_all_used(), 0x1000)) == make_frame(700, 9));
}

TEST_CASE("net rx: without merging, one chain per frame; one too small goes back empty and the frame is counted") {
  NetRig rig(kNetBase);
  rig.post(0, 100);
  rig.post(1, 1526);
  rig.tap->put(make_frame(600, 1));
  rig.tap->put(make_frame(1514, 2));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 0}, {1, 1526}});
  CHECK(num_buffers(rig, 1) == 1);
  CHECK(without_header(rig.received(1, 1526)) == make_frame(1514, 2));
  CHECK(rig.metrics().rx_fails.total() == 1);
  CHECK(rig.metrics().rx_packets_count.total() == 1);
}

TEST_CASE("net rx: DPDK CVE-2026-86566, buffers below the header or read-only go back empty and cost no frame") {
  NetRig rig;
  rig.post(0, 11);
  rig.rx.offer(ChainBuilder(rig.rx, 1).readable(kRxBuffers + 0x1000, 2000).build());
  rig.rx.offer(ChainBuilder(rig.rx, 2).writable(0x60000, 2000).build());  // a hole
  rig.post(3, 12 + 60);
  rig.tap->put(make_frame(60, 4));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 0}, {1, 0}, {2, 0}, {3, 72}});
  CHECK(without_header(rig.received(3, 72)) == make_frame(60, 4));
  CHECK(rig.metrics().rx_fails.total() == 3);
  CHECK(rig.guest.holds(kRxBuffers, 0x3000, kUntouched));
}

TEST_CASE("net rx: a bad buffer among those of a merged frame: all before it go back empty, the frame comes whole") {
  NetRig rig;
  rig.post(0, 400);
  rig.rx.offer(ChainBuilder(rig.rx, 1).readable(kRxBuffers + 0x1000, 400).build());
  rig.post(2, 400);
  rig.post(3, 400);
  rig.tap->put(make_frame(700, 5));
  rig.arrive();
  const auto used = rig.rx.take_all_used();
  CHECK(used == std::vector<Used>{{0, 0}, {1, 0}, {2, 400}, {3, 312}});
  CHECK(without_header(merged(rig, used, 0x1000)) == make_frame(700, 5));
}

TEST_CASE("net rx: a header in a buffer of its own, and a frame over many descriptors") {
  NetRig rig(kNetBase);
  ChainBuilder builder(rig.rx, 0);
  builder.writable(kRxBuffers, 12).writable(kRxBuffers + 0x1000, 1).writable(kRxBuffers + 0x2000, 2000);
  rig.rx.offer(builder.build());
  rig.tap->put(make_frame(900, 6));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 912}});
  const Bytes frame = make_frame(900, 6);
  CHECK(rig.guest.bytes(kRxBuffers + 0x1000, 1)[0] == frame[0]);
  CHECK(rig.guest.bytes(kRxBuffers + 0x2000, 899) == Bytes(frame.begin() + 1, frame.end()));
  CHECK(num_buffers(rig, 0) == 1);
}

TEST_CASE("net rx: a frame larger than the whole ring is dropped, the next one passes") {
  NetRig rig(kMerge, {}, 4);
  for (std::uint16_t slot = 0; slot < 4; ++slot) {
    rig.post(slot, 100);
  }
  rig.tap->put(make_frame(1000, 1));
  rig.tap->put(make_frame(60, 2));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 72}});
  CHECK(without_header(rig.received(0, 72)) == make_frame(60, 2));
  CHECK(rig.metrics().rx_fails.total() == 1);
}

TEST_CASE("net rx: the largest frame, 64 KiB, arrives whole") {
  NetRig rig(kMerge | net_feature::kGuestCsum | net_feature::kGuestTso6);
  for (std::uint16_t slot = 0; slot < 16; ++slot) {
    rig.post(slot, 0x1400, 0x1400);
  }
  VnetHeader header;
  header.gso_type = vnet::kGsoTcp6;
  header.flags = vnet::kNeedsCsum;
  rig.tap->put(make_frame(65550, 1), header);
  rig.arrive();
  const auto used = rig.rx.take_all_used();
  CHECK(used.size() == 13);
  CHECK(without_header(merged(rig, used, 0x1400)) == make_frame(65550, 1));
}

TEST_CASE("net rx: a runt from the TAP is dropped and the buffer stays") {
  NetRig rig;
  rig.post(0, 1600);
  rig.tap->put(make_frame(13, 1));
  rig.tap->put(make_frame(14, 2));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 26}});
  CHECK(rig.metrics().tap_read_fails.total() == 1);
}

TEST_CASE("net rx: frames that the driver did not negotiate never reach it") {
  NetRig rig;
  rig.post(0, 4000);
  VnetHeader unfinished, segmented, checked;
  unfinished.flags = vnet::kNeedsCsum;
  segmented.gso_type = vnet::kGsoTcp4;
  checked.flags = vnet::kDataValid;
  rig.tap->put(make_frame(100, 1), unfinished);
  rig.tap->put(make_frame(3000, 2), segmented);
  rig.tap->put(make_frame(90, 3), checked);
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 102}});
  CHECK(rig.guest.get(kRxBuffers, 1) == 0);  // section 5.1.6.4.1: no flags without GUEST_CSUM
  CHECK(rig.metrics().rx_fails.total() == 2);
}

TEST_CASE("net rx: with MTU negotiated no longer frame passes, a VLAN tag apart") {
  NetConfig config;
  config.mtu = 1500;
  NetRig rig(kMerge | net_feature::kMtu, config);
  rig.post(0, 4000);
  rig.tap->put(make_frame(1519, 1));
  rig.tap->put(make_frame(1518, 2));
  rig.arrive();
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 1530}});
  CHECK(rig.metrics().rx_fails.total() == 1);
}

TEST_CASE("net rx: a failing TAP is counted, spins nothing, and is tried again with a kick") {
  NetRig rig;
  rig.post(0, 1600);
  rig.tap->put(make_frame(60, 1));
  rig.tap->read_errno = EIO;
  rig.arrive();
  CHECK(rig.tap->reads == 1);
  CHECK(rig.metrics().tap_read_fails.total() == 1);
  CHECK(rig.rx.take_all_used().empty());
  CHECK(rig.signals.needs_reset_count == 0);
  rig.tap->read_errno = 0;
  rig.post(1, 1600);
  rig.kick(0);
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 72}});
}

TEST_CASE("net rx: an index that jumps breaks the queue, once") {
  NetRig rig;
  rig.tap->put(make_frame(60, 1));
  rig.rx.set_available_index(1000);
  rig.arrive();
  CHECK(rig.signals.needs_reset_count == 1);
  CHECK(rig.metrics().event_fails.total() == 1);
  CHECK(rig.kick(0) == 1);
  CHECK(rig.tap->reads == 0);
}

TEST_CASE("net rx: frames are limited, charged after reading, and go on when the tokens are there") {
  NetConfig config;
  config.rx_limits.ops = bucket(2, 1000);
  NetRig rig(kMerge, config);
  for (std::uint16_t slot = 0; slot < 4; ++slot) {
    rig.post(slot, 1600);
    rig.tap->put(make_frame(100, static_cast<std::uint8_t>(slot)));
  }
  rig.arrive();
  CHECK(rig.rx.take_all_used().size() == 2);
  CHECK(rig.metrics().rx_rate_limiter_throttled.total() == 1);
  const int reads = rig.tap->reads;
  CHECK(rig.kick(0) == 1);
  CHECK(rig.tap->reads == reads);
  rig.clock.now += 500'000'000;
  rig.kick(0);
  CHECK(rig.rx.take_all_used().size() == 1);
}

TEST_CASE("net rx: a byte limit may be overrun by one frame, which later ones pay for") {
  NetConfig config;
  config.rx_limits.bandwidth = bucket(1000, 1000);
  NetRig rig(kMerge, config);
  for (std::uint16_t slot = 0; slot < 4; ++slot) {
    rig.post(slot, 1600);
    rig.tap->put(make_frame(900, static_cast<std::uint8_t>(slot)));
  }
  rig.arrive();
  CHECK(rig.rx.take_all_used().size() == 2);
  rig.clock.now += 800'000'000;
  rig.kick(0);
  CHECK(rig.rx.take_all_used().empty());
  rig.clock.now += 1'000'000;
  rig.kick(0);
  CHECK(rig.rx.take_all_used().size() == 1);
  NetPatch patch;
  patch.rx_limits.bandwidth = bucket(0, 0);
  rig.device->update_limits(patch);
  rig.kick(0);
  CHECK(rig.rx.take_all_used().size() == 1);
}

TEST_CASE("net rx: pause with frames waiting: nothing is delivered, nothing is held, and resume goes on in order") {
  NetRig rig;
  rig.post(0, 500);
  rig.tap->put(make_frame(600, 1));
  rig.arrive();
  REQUIRE(rig.device->holds_frame());
  rig.device->quiesce();
  rig.post(1, 500);
  rig.post(2, 500);
  rig.tap->put(make_frame(60, 2));
  rig.arrive();
  rig.kick(0);
  CHECK(rig.rx.take_all_used().empty());
  CHECK(rig.device->in_flight_count() == 0);
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
  CHECK(rig.detour->pauses == 1);
  rig.device->resume();
  rig.kick(0);
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 500}, {1, 112}, {2, 72}});
  CHECK(rig.detour->resumes == 1);
}

TEST_CASE("net rx: a held frame is saved and delivered by the machine that is restored") {
  NetRig before;
  before.post(0, 500);
  before.tap->put(make_frame(600, 7));
  before.arrive();
  REQUIRE(before.device->holds_frame());
  before.device->quiesce();
  StateWriter out;
  before.device->save(out);

  NetRig after;
  after.device->reset();
  StateReader in("net", out.data());
  REQUIRE(after.device->restore(in).ok());
  REQUIRE(in.finish().ok());
  after.activate(kMerge);
  after.post(0, 500);
  after.post(1, 500);
  after.kick(0);
  const auto used = after.rx.take_all_used();
  CHECK(without_header(merged(after, used, 0x1000)) == make_frame(600, 7));
}

TEST_CASE("net rx: a forged saved frame is refused: too long, too short, cut") {
  NetRig rig;
  rig.device->quiesce();
  StateWriter empty;
  rig.device->save(empty);
  const Bytes good(empty.data().begin(), empty.data().end());
  const auto restored = [&](std::uint32_t length, std::size_t bytes) {
    NetRig other;
    Bytes forged(good.begin(), good.end() - 4);
    for (unsigned shift = 0; shift < 32; shift += 8) {
      forged.push_back(static_cast<std::byte>(length >> shift));
    }
    forged.resize(forged.size() + bytes);
    StateReader in("net", forged);
    return other.device->restore(in).ok() && in.finish().ok();
  };
  CHECK(restored(0, 0));
  CHECK(restored(14, 14));
  CHECK_FALSE(restored(13, 13));
  CHECK_FALSE(restored(100, 99));
  CHECK_FALSE(restored(70000, 70000));
}

TEST_CASE("net rx: a reset forgets the held frame and the offloads") {
  NetRig rig(kMerge | net_feature::kGuestCsum);
  CHECK(rig.tap->offloads == offload::kCsum);
  rig.post(0, 500);
  rig.tap->put(make_frame(600, 1));
  rig.arrive();
  REQUIRE(rig.device->holds_frame());
  rig.device->reset();
  CHECK_FALSE(rig.device->holds_frame());
  CHECK(rig.tap->offloads == 0);
  CHECK(rig.detour->resets == 1);
  rig.rx.start_over();
  rig.tx.start_over();
  rig.activate(kMerge);
  rig.post(0, 500);
  rig.tap->put(make_frame(60, 2));
  rig.kick(0);
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 72}});
}

TEST_CASE("net rx: the detour's frames come before the TAP's, and wait for buffers like them") {
  NetRig rig;
  rig.tap->put(make_frame(70, 1));
  rig.detour->replies.push_back(make_frame(60, 2));
  rig.detour->replies.push_back(make_frame(61, 3));
  rig.detour->wake();
  CHECK(rig.device->holds_frame());
  for (std::uint16_t slot = 0; slot < 3; ++slot) {
    rig.post(slot, 1600);
  }
  rig.kick(0);
  CHECK(rig.rx.take_all_used() == std::vector<Used>{{0, 72}, {1, 73}, {2, 82}});
  CHECK(without_header(rig.received(0, 72)) == make_frame(60, 2));
  CHECK(rig.received(0, 10) == Bytes(10));
  CHECK(num_buffers(rig, 0) == 1);
}
