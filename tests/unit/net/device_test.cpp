#include <catch2/catch.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/fakes/fuzz_input.h"
#include "tests/unit/net/net_rig.h"

namespace {

// Every allocation of this program is counted.
std::atomic<std::uint64_t> allocation_count = 0;

void* counted(std::size_t size) {
  ++allocation_count;
  void* memory = std::malloc(size);
  WISP_ASSERT(memory != nullptr);
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return counted(size);
}
void* operator new[](std::size_t size) {
  return counted(size);
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return counted(size);
}
void* operator new[](std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return counted(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

using namespace wisp;
using namespace wisp::fakes;

namespace {

Result<std::unique_ptr<NetDevice>> make(EventLoop& loop, const Clock& clock, std::uint32_t offloads,
                                        const NetConfig& config) {
  auto tap = std::make_unique<FakeTap>();
  tap->known = offloads;
  return NetDevice::create(config, std::move(tap), nullptr, loop, clock);
}

std::uint64_t offered(std::uint32_t offloads, const NetConfig& config = {}) {
  const auto loop = std::move(EventLoop::create()).value();
  const fakes::FakeClock clock;
  return make(*loop, clock, offloads, config).value()->offered_features();
}

}  // namespace

TEST_CASE("net: only offloads that the TAP knows are offered") {
  constexpr std::uint64_t kAlways = feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors |
                                    net_feature::kCsum | net_feature::kHostTso4 | net_feature::kHostTso6 |
                                    net_feature::kHostUfo | net_feature::kMergeBuffers;
  CHECK(offered(0) == kAlways);
  CHECK(offered(offload::kCsum | offload::kTso4) == (kAlways | net_feature::kGuestCsum | net_feature::kGuestTso4));
  CHECK(offered(kAllOffloads) ==
        (kAlways | net_feature::kGuestCsum | net_feature::kGuestTso4 | net_feature::kGuestTso6 |
         net_feature::kGuestUfo | net_feature::kGuestUso4 | net_feature::kGuestUso6 | net_feature::kHostUso));
  NetConfig config;
  config.guest_mac = MacAddress{2, 1, 2, 3, 4, 5};
  config.mtu = 1400;
  CHECK(offered(0, config) == (kAlways | net_feature::kMac | net_feature::kMtu));
}

TEST_CASE("net: the configuration space has address and MTU, and nothing to write") {
  NetConfig config;
  config.guest_mac = MacAddress{2, 1, 2, 3, 4, 5};
  config.mtu = 1400;
  NetRig rig(kMerge, config);
  std::array<std::byte, 16> space;
  space.fill(std::byte{0});
  rig.device->read_config(0, space);
  CHECK(space[1] == std::byte{1});
  CHECK(space[5] == std::byte{5});
  CHECK(space[10] == std::byte{0x78});
  CHECK(space[11] == std::byte{0x05});
  rig.device->read_config(~std::uint64_t{0}, space);
  rig.device->write_config(0, space);
  CHECK(rig.metrics().cfg_fails.total() == 1);
  CHECK(rig.device->type() == VirtioDeviceType::Net);
  CHECK(rig.device->iface_id() == "eth0");
}

TEST_CASE("net: an MTU below 68 is refused") {
  const auto loop = std::move(EventLoop::create()).value();
  const fakes::FakeClock clock;
  NetConfig config;
  config.mtu = 67;
  CHECK_FALSE(make(*loop, clock, 0, config).ok());
}

TEST_CASE("net: the TAP gets what was negotiated, and nothing without GUEST_CSUM") {
  NetRig all(kMerge | net_feature::kGuestCsum | net_feature::kGuestTso4 | net_feature::kGuestTso6 |
             net_feature::kGuestUfo | net_feature::kGuestUso4 | net_feature::kGuestUso6);
  CHECK(all.tap->offloads == kAllOffloads);
  NetRig half(kMerge | net_feature::kGuestCsum | net_feature::kGuestUso4);
  CHECK(half.tap->offloads == offload::kCsum);  // the kernel wants both kinds of UDP segmentation
  NetRig hostile(kMerge | net_feature::kGuestTso4);
  CHECK(hostile.tap->offloads == 0);
}

TEST_CASE("net: a TAP that refuses the offloads leaves the device inactive") {
  NetRig rig;
  rig.device->reset();
  rig.rx.start_over();
  rig.tx.start_over();
  rig.tap->refuse_offloads = true;
  const std::uint64_t features = kMerge | net_feature::kGuestCsum;
  Activation activation{&rig.memory, rig.interrupt.get(), features, {}};
  activation.queues.push_back(live_queue(rig.memory, rig.rx, features));
  activation.queues.push_back(live_queue(rig.memory, rig.tx, features));
  CHECK_FALSE(rig.device->activate(std::move(activation)).ok());
  CHECK(rig.metrics().activate_fails.total() == 1);
  CHECK(rig.device->queue(0) == nullptr);
}

TEST_CASE("net: limits are changed by a patch, which leaves the other direction alone") {
  NetConfig config;
  config.rx_limits.ops = TokenBucketConfig{10, 1000, std::nullopt};
  NetRig rig(kMerge, config);
  NetPatch patch;
  patch.tx_limits.ops = TokenBucketConfig{7, 100, std::nullopt};
  rig.device->update_limits(patch);
  CHECK(rig.device->rx_limits().ops->size == 10);
  CHECK(rig.device->tx_limits().ops->size == 7);
}

TEST_CASE("net: tokens that were used before a snapshot are missing after it") {
  NetConfig config;
  config.tx_limits.ops = TokenBucketConfig{1, 1000, std::nullopt};
  NetRig before(kMerge, config);
  before.offer(0, make_frame(60, 1));
  before.kick(1);
  before.device->quiesce();
  StateWriter out;
  before.device->save(out);

  NetRig after(kMerge, config);
  after.device->reset();
  StateReader in("net", out.data());
  REQUIRE(after.device->restore(in).ok());
  after.rx.start_over();
  after.tx.start_over();
  after.activate(kMerge);
  after.offer(0, make_frame(60, 1));
  after.kick(1);
  CHECK(before.tap->sent.size() == 1);
  CHECK(after.tap->sent.empty());
  CHECK(after.metrics().tx_rate_limiter_throttled.total() == 1);
}

TEST_CASE("net: a reset while frames wait in both directions drops them and starts clean") {
  NetRig rig;
  rig.post(0, 100);
  rig.tap->put(make_frame(600, 1));
  rig.arrive();
  rig.tap->write_errno = EAGAIN;
  rig.offer(0, make_frame(60, 2));
  rig.kick(1);
  rig.device->quiesce();
  rig.device->reset();
  CHECK(rig.detour->pauses == rig.detour->resumes);
  const auto before = rig.guest.image();
  rig.arrive();
  CHECK(rig.guest.image() == before);
  rig.tap->write_errno = 0;
  rig.rx.start_over();
  rig.tx.start_over();
  rig.activate(kMerge);
  rig.offer(0, make_frame(61, 3));
  rig.kick(1);
  REQUIRE(rig.tap->sent.size() == 1);
  CHECK(without_header(rig.tap->sent[0]) == make_frame(61, 3));
}

TEST_CASE("net: no allocation on the data path, merged, held, limited, refused or not") {
  NetConfig config;
  config.tx_limits.ops = TokenBucketConfig{20, 1000, std::nullopt};
  NetRig rig(kMerge, config);
  rig.tap->record = false;
  for (std::uint8_t index = 0; index < 24; ++index) {
    rig.tap->put(make_frame(index % 3 == 0 ? 1500 : 60, index));
  }
  const auto offer_all = [&] {
    for (std::uint16_t slot = 0; slot < 8; ++slot) {
      rig.rx.put_descriptor(slot, kRxBuffers + slot * std::uint64_t{0x1000}, 400, kWrite, 0);
      rig.rx.offer(slot);
      rig.tx.put_descriptor(slot, kTxBuffers, slot == 5 ? 20 : 100, 0, 0);
      rig.tx.offer(slot);
    }
  };
  const auto work = [&] {
    (void)rig.device->on_queue(0);
    (void)rig.device->on_queue(1);
    rig.tap->signal();
    rig.loop->run_once(0);
    rig.clock.now += 100'000'000;
    (void)rig.device->on_queue(1);
  };
  silence_log();
  for (int round = 0; round < 3; ++round) {
    // The test's own calls allocate; only the device's are counted.
    offer_all();
    const std::uint64_t before = allocation_count;
    work();
    CHECK(allocation_count == before);
    while (rig.rx.take_used() || rig.tx.take_used()) {
    }
  }
  CHECK(rig.metrics().rx_packets_count.total() > 5);
  CHECK(rig.metrics().tx_packets_count.total() > 5);
  CHECK(rig.metrics().tx_malformed_frames.total() > 0);
  CHECK(rig.device->queue(0)->in_flight_count() == 0);
}
