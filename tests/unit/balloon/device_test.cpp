// The balloon as operator and driver see it: configuration space, statistics, hinting, reporting, capture.
#include <catch2/catch.hpp>

#include "tests/unit/balloon/balloon_rig.h"

namespace wisp {
namespace {

using namespace fakes;
using Catch::Matchers::Contains;

constexpr BalloonConfig kEverything{.amount_mib = 1,
                                    .deflate_on_oom = true,
                                    .stats_polling_interval_s = 5,
                                    .free_page_hinting = true,
                                    .free_page_reporting = true};
constexpr std::uint64_t kStats = 2, kHint = 3, kReport = 4;

std::vector<std::byte> saved(const BalloonDevice& device) {
  StateWriter out;
  device.save(out);
  return std::move(out).take();
}

TEST_CASE("Features and queues follow the configuration") {
  const BalloonRig plain;
  CHECK(plain.device->offered_features() == ((std::uint64_t{1} << 32) | (std::uint64_t{3} << 28)));
  CHECK(plain.device->queue_count() == 2);
  const BalloonRig full(kEverything);
  CHECK(full.device->offered_features() == ((std::uint64_t{1} << 32) | (std::uint64_t{3} << 28) | 0x2e));
  CHECK(full.device->queue_count() == 5);
}

TEST_CASE("Queue numbers are packed: reporting alone is queue 2, also when the driver turned the others down") {
  const bool declined = GENERATE(false, true);
  BalloonConfig config;
  config.free_page_reporting = true;
  const std::uint64_t accepted = (std::uint64_t{1} << 32) | (1U << 5);
  BalloonRig rig(declined ? kEverything : config, accepted);
  rig.guest.fill(kFree, 4 * kPage, 0x5a);
  rig.offer_range(2, kFree, 4 * kPage);
  CHECK(rig.queues[2].take_used() == Used{0, 0});
  CHECK(rig.resident(kFree, 4) == 0);
  if (declined) {
    rig.offer_range(3, kFree, kPage);
    CHECK_FALSE(rig.queues[3].take_used());
  }
}

TEST_CASE("The operator's target is in the configuration space; only actual can be written") {
  BalloonRig rig(kEverything);
  CHECK(rig.config_word(0) == 256);
  CHECK(rig.config_word(4) == 0);
  CHECK(rig.config_word(8) == 0);
  CHECK(rig.config_word(12) == 0);
  const std::array<std::byte, 12> ones = [] {
    std::array<std::byte, 12> bytes{};
    bytes.fill(std::byte{0x11});
    return bytes;
  }();
  rig.device->write_config(0, ones);
  CHECK(rig.config_word(0) == 256);
  CHECK(rig.config_word(4) == 0x11111111);
  CHECK(rig.config_word(8) == 0);
  rig.device->write_config(6, std::span(ones).first(1));
  rig.device->write_config(~std::uint64_t{0} - 1, std::span(ones).first(4));
  CHECK(rig.config_word(4) == 0x11111111);
}

TEST_CASE("L-04: an absurd actual is shown as it is and breaks nothing") {
  BalloonRig rig(kEverything);
  const std::array<std::byte, 4> ones = {std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
  rig.device->write_config(4, ones);
  const auto statistics = rig.device->statistics();
  REQUIRE(statistics.ok());
  CHECK(statistics.value().actual_pages == 0xffffffff);
  CHECK(statistics.value().actual_mib == 0xffffff);
  CHECK(statistics.value().target_pages == 256);
}

TEST_CASE("A new target interrupts the driver; one larger than the memory is refused and changes nothing") {
  BalloonRig rig;
  CHECK(rig.device->resize(2).ok());
  CHECK(rig.config_word(0) == 512);
  CHECK(rig.signals.config_changed_count == 1);
  CHECK(rig.device->config().amount_mib == 2);
  CHECK(rig.device->resize(4).ok());
  for (const std::uint32_t amount : {5U, 0x1000000U, 0xffffffffU}) {
    const Status refused = rig.device->resize(amount);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().text() == "Balloon: Requested memory should be less than 4MiB");
  }
  CHECK(rig.config_word(0) == 1024);
  rig.device->reset();
  CHECK(rig.device->resize(1).error().text() == "Balloon: Device not activated yet.");
}

TEST_CASE("An amount larger than the memory makes no device") {
  auto loop = EventLoop::create().value();
  const fakes::FakeClock clock;
  CHECK_FALSE(BalloonDevice::create({.amount_mib = 5}, 4, *loop, clock).ok());
  CHECK(BalloonDevice::create({.amount_mib = 4}, 4, *loop, clock).ok());
}

TEST_CASE("Statistics are taken, unknown tags are skipped, and the buffer is held until the interval is over") {
  BalloonRig rig(kEverything);
  rig.put_statistic(0, 4, 1000);
  rig.put_statistic(1, 15, 7);
  rig.put_statistic(2, 16, 99);
  rig.put_statistic(3, 0xffff, 99);
  rig.put_statistic(4, 0, ~std::uint64_t{0});
  rig.queues[kStats].offer(ChainBuilder(rig.queues[kStats], 0).readable(kList, 50).build());
  rig.kick(kStats);

  const BalloonStatistics statistics = rig.device->statistics().value();
  CHECK(statistics.guest[4] == 1000U);
  CHECK(statistics.guest[15] == 7U);
  CHECK(statistics.guest[0] == ~std::uint64_t{0});
  CHECK_FALSE(statistics.guest[1].has_value());
  CHECK(rig.device->metrics().stats_updates_count.total() == 1);
  CHECK(rig.device->metrics().stats_update_fails.total() == 0);
  CHECK_FALSE(rig.queues[kStats].take_used());

  rig.clock.now += 6 * kSecond;  // the interval is over; a shorter one makes the device look at the clock
  CHECK(rig.device->set_polling_interval(1).ok());
  rig.loop->run_once(-1);
  CHECK(rig.queues[kStats].take_used() == Used{0, 0});
}

TEST_CASE("A statistics buffer is put back at quiesce, read once, and its interval goes on") {
  BalloonRig rig(kEverything);
  rig.put_statistic(0, 4, 1000);
  rig.queues[kStats].offer(ChainBuilder(rig.queues[kStats], 0).readable(kList, 10).build());
  rig.kick(kStats);
  rig.device->quiesce();
  CHECK(rig.device->queue(kStats)->in_flight_count() == 0);
  rig.clock.now += 6 * kSecond;
  rig.device->resume();
  rig.kick(kStats);
  CHECK(rig.device->metrics().stats_updates_count.total() == 1);
  rig.loop->run_once(-1);
  CHECK(rig.queues[kStats].take_used() == Used{0, 0});
}

TEST_CASE("Malformed statistics come back at once or are counted, and a second buffer frees the first") {
  BalloonRig rig(kEverything);
  FakeQueue& ring = rig.queues[kStats];
  ring.offer(ChainBuilder(ring, 0).writable(kList, 10).build());
  rig.kick(kStats);
  CHECK(ring.take_used() == Used{0, 0});
  CHECK(rig.device->metrics().stats_update_fails.total() == 1);

  rig.put_statistic(0, 3, 30);
  ring.offer(ChainBuilder(ring, 1).readable(kList, 14).build());  // a pair and a half
  rig.kick(kStats);
  CHECK(rig.device->metrics().stats_update_fails.total() == 2);
  CHECK(rig.device->statistics().value().guest[3] == 30U);
  CHECK_FALSE(ring.take_used());

  ring.offer(ChainBuilder(ring, 2).readable(kList, 40000).build());  // far more pairs than there are tags
  rig.kick(kStats);
  CHECK(ring.take_used() == Used{1, 0});
  CHECK(rig.device->metrics().stats_update_fails.total() == 3);
  ring.offer(ChainBuilder(ring, 3).readable(0, 10).build());  // outside memory
  rig.kick(kStats);
  CHECK(ring.take_all_used() == std::vector<Used>{{2, 0}, {3, 0}});
}

TEST_CASE("Statistics that were not configured cannot be asked for or switched on, and the other way round") {
  BalloonRig off;
  CHECK(off.device->statistics().error().text() == "Balloon: Received stats query when stats are disabled.");
  CHECK(off.device->set_polling_interval(1).error().text() ==
        "Balloon: Statistics cannot be enabled/disabled after activation.");
  CHECK(off.device->set_polling_interval(0).ok());
  BalloonRig on(kEverything);
  CHECK_FALSE(on.device->set_polling_interval(0).ok());
  CHECK(on.device->set_polling_interval(9).ok());
  CHECK(on.device->config().stats_polling_interval_s == 9);
}

TEST_CASE("Free page hints: only ranges between the current id and STOP are given back; the end is acknowledged") {
  BalloonRig rig(kEverything);
  rig.guest.fill(kFree, 16 * kPage, 0x5a);
  rig.offer_range(kHint, kFree, kPage);  // before any run
  CHECK(rig.device->start_hinting(HintingStop::Acknowledge).ok());
  CHECK(rig.config_word(8) == 2);
  CHECK(rig.signals.config_changed_count == 1);
  rig.offer_range(kHint, kFree, kPage);  // before the driver's id
  rig.hint_command(kHint, 7);            // an id that was never given
  rig.offer_range(kHint, kFree, kPage);
  CHECK(rig.resident(kFree, 16) == 16);

  rig.hint_command(kHint, 2);
  rig.offer_range(kHint, kFree + 2 * kPage, 4 * kPage);
  CHECK(rig.resident(kFree, 16) == 12);
  CHECK(rig.device->metrics().free_page_hint_freed.total() == 4 * kPage);
  CHECK(rig.device->hinting_status().value().guest_command == 2U);
  rig.hint_command(kHint, 0);
  CHECK(rig.config_word(8) == 1);  // done: the guest may have its pages back
  CHECK(rig.signals.config_changed_count == 2);
  rig.offer_range(kHint, kFree, kPage);  // too late
  CHECK(rig.resident(kFree, 16) == 12);
  CHECK(rig.queues[kHint].take_all_used().size() == 8);
}

TEST_CASE("Without acknowledgement a run ends when the operator says so; a new run makes old hints void") {
  BalloonRig rig(kEverything);
  rig.guest.fill(kFree, 16 * kPage, 0x5a);
  REQUIRE(rig.device->start_hinting(HintingStop::WaitForOperator).ok());
  rig.hint_command(kHint, 2);
  rig.hint_command(kHint, 0);
  CHECK(rig.config_word(8) == 2);
  CHECK(rig.device->stop_hinting().ok());
  CHECK(rig.config_word(8) == 1);
  REQUIRE(rig.device->start_hinting(HintingStop::Acknowledge).ok());
  CHECK(rig.config_word(8) == 3);
  rig.hint_command(kHint, 3);
  REQUIRE(rig.device->start_hinting(HintingStop::Acknowledge).ok());
  rig.offer_range(kHint, kFree, 4 * kPage);  // still of run 3
  CHECK(rig.resident(kFree, 16) == 16);
}

TEST_CASE("Malformed hints and reports come back and give nothing away") {
  BalloonRig rig(kEverything);
  REQUIRE(rig.device->start_hinting(HintingStop::Acknowledge).ok());
  rig.hint_command(kHint, 2);
  (void)rig.queues[kHint].take_all_used();
  rig.guest.fill(kFree, 4 * kPage, 0x5a);
  FakeQueue& hints = rig.queues[kHint];
  hints.offer(ChainBuilder(hints, 0).readable(kList, 3).build());
  hints.offer(ChainBuilder(hints, 1).readable(kList, 8).build());
  hints.offer(ChainBuilder(hints, 2).writable(kFree, kPage).writable(0, kPage).build());
  rig.kick(kHint);
  CHECK(hints.take_all_used().size() == 3);
  CHECK(rig.device->metrics().free_page_hint_fails.total() == 3);
  CHECK(rig.device->hinting_status().value().guest_command == 2U);
  FakeQueue& reports = rig.queues[kReport];
  reports.offer(ChainBuilder(reports, 0).readable(kFree, kPage).build());
  rig.kick(kReport);
  CHECK(reports.take_used() == Used{0, 0});
  CHECK(rig.device->metrics().free_page_report_fails.total() == 1);
  CHECK(rig.resident(kFree, 4) == 4);
}

TEST_CASE("Hinting that was not configured is refused by name") {
  BalloonRig rig;
  const std::string text = "Balloon: Attempting to use hinting when not enabled";
  CHECK(rig.device->start_hinting(HintingStop::Acknowledge).error().text() == text);
  CHECK(rig.device->stop_hinting().error().text() == text);
  CHECK(rig.device->hinting_status().error().text() == text);
  CHECK(rig.config_word(8) == 0);
}

TEST_CASE("Reported pages leave the host; all ranges of a chain count") {
  BalloonRig rig(kEverything);
  rig.guest.fill(kFree, 16 * kPage, 0x5a);
  FakeQueue& ring = rig.queues[kReport];
  ring.offer(ChainBuilder(ring, 0).writable(kFree, 4 * kPage).writable(kFree + 8 * kPage + 5, 2 * kPage).build());
  rig.kick(kReport);
  CHECK(ring.take_used() == Used{0, 0});
  CHECK(rig.resident(kFree, 16) == 11);
  CHECK(rig.device->metrics().free_page_report_count.total() == 2);
  CHECK(rig.device->metrics().free_page_report_freed.total() == 5 * kPage);
}

TEST_CASE("What the device knows survives capture and restore; a run of hints is done then") {
  BalloonRig rig(kEverything);
  REQUIRE(rig.device->resize(3).ok());
  REQUIRE(rig.device->set_polling_interval(8).ok());
  const std::array<std::byte, 4> actual = {std::byte{9}, std::byte{0}, std::byte{0}, std::byte{0}};
  rig.device->write_config(4, actual);
  rig.put_statistic(0, 4, 1000);
  rig.queues[kStats].offer(ChainBuilder(rig.queues[kStats], 0).readable(kList, 10).build());
  rig.kick(kStats);
  REQUIRE(rig.device->start_hinting(HintingStop::Acknowledge).ok());
  rig.device->quiesce();
  const auto bytes = saved(*rig.device);

  BalloonRig other(kEverything);
  other.device->reset();
  StateReader in("balloon", bytes);
  REQUIRE(other.device->restore(in).ok());
  REQUIRE(in.finish().ok());
  other.activate();
  CHECK(other.config_word(0) == 768);
  CHECK(other.config_word(4) == 9);
  CHECK(other.config_word(8) == 1);
  CHECK(other.signals.config_changed_count == 1);
  CHECK(other.device->config().stats_polling_interval_s == 8);
  CHECK(other.device->statistics().value().guest[4] == 1000U);
  REQUIRE(other.device->start_hinting(HintingStop::Acknowledge).ok());
  CHECK(other.config_word(8) == 3);  // an id is never used twice
}

TEST_CASE("Forged state is refused, whatever byte is wrong, and never crashes") {
  const BalloonRig rig(kEverything);
  const auto good = saved(*rig.device);
  auto loop = EventLoop::create().value();
  const fakes::FakeClock clock;
  for (std::size_t length = 0; length < good.size(); ++length) {
    auto device = BalloonDevice::create(kEverything, 4, *loop, clock).value();
    StateReader in("balloon", std::span(good).first(length));
    CHECK_FALSE(device->restore(in).ok());
  }
  for (std::size_t index = 0; index < 8; ++index) {
    auto bad = good;
    bad[index] ^= std::byte{0x40};
    auto device = BalloonDevice::create(kEverything, 4, *loop, clock).value();
    StateReader in("balloon", bad);
    CHECK_FALSE(device->restore(in).ok());
  }
  auto too_large = good;
  too_large[10] = std::byte{0xff};  // the target
  auto device = BalloonDevice::create(kEverything, 4, *loop, clock).value();
  StateReader in("balloon", too_large);
  CHECK_FALSE(device->restore(in).ok());
}

}  // namespace
}  // namespace wisp
