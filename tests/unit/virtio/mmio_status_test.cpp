// The status register: every pair of states, and the negotiation of features.
#include <catch2/catch.hpp>

#include <array>

#include "tests/unit/virtio/transport_rig.h"
#include "virtio/core/device_status.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::array<std::uint32_t, 5> kPath = {0x0, 0x1, 0x3, 0xb, 0xf};
constexpr std::uint64_t kOffered = (std::uint64_t{0x3} << 28U) | kFeatureVersion1;

/// The index of `value` on the legal path, or -1.
int step_of(std::uint32_t value) {
  for (std::size_t index = 0; index < kPath.size(); ++index) {
    if (kPath[index] == value) {
      return static_cast<int>(index);
    }
  }
  return -1;
}

/// What the specification wants of a write, said differently from the table in the code.
std::uint32_t expected_after(std::uint32_t current, std::uint32_t written) {
  const std::uint32_t value = written & ~0x40U;
  if (written == 0) {
    return 0;
  }
  if (value == (current | 0x80)) {
    return value;
  }
  const int from = step_of(current);
  return from >= 0 && step_of(value) == from + 1 ? value : current;
}

/// Brings a fresh device to `state`, which is on the path, with or without FAILED.
void go_to(const MmioDriver& driver, std::uint32_t state) {
  const std::uint32_t target = state & ~0x80U;
  for (const std::uint32_t step : kPath) {
    if (step == 0x0 || step > target) {
      continue;
    }
    driver.set_status(step);
    driver.accept_features(kFeatureVersion1);  // counts in the DRIVER state only
  }
  if ((state & 0x80U) != 0) {
    driver.set_status(state);
  }
}

}  // namespace

TEST_CASE("each status value written in each state is followed, or leaves the state as it was") {
  TransportRig rig;
  const auto state = GENERATE(0x0U, 0x1U, 0x3U, 0xbU, 0xfU, 0x80U, 0x81U, 0x83U, 0x8bU, 0x8fU);
  std::uint32_t wrong = 0;
  for (std::uint32_t written = 0; written <= 0xff; ++written) {
    rig.driver.reset();
    go_to(rig.driver, state);
    const std::uint32_t before = rig.driver.status();
    rig.driver.set_status(written);
    wrong += before != state || rig.driver.status() != expected_after(state, written) ? 1U : 0U;
  }
  CHECK(wrong == 0);
}

TEST_CASE("status bits above the eighth are refused") {
  TransportRig rig;
  rig.driver.set_status(GENERATE(0x101U, 0x10001U, 0x80000001U));
  CHECK(rig.driver.status() == 0);
  CHECK(rig.transport->metrics().refused_status_count.total() == 1);
}

TEST_CASE("illegal status writes are counted, repeated ones are not") {
  TransportRig rig;
  rig.driver.set_status(3);
  rig.driver.set_status(1);
  rig.driver.set_status(1);
  rig.driver.set_status(0xf);
  CHECK(rig.transport->metrics().refused_status_count.total() == 2);
}

TEST_CASE("FEATURES_OK sticks when the driver accepts VERSION_1 and a part of the offer") {
  TransportRig rig;
  CHECK(rig.driver.negotiate(
            GENERATE(as<std::uint64_t>{}, kFeatureVersion1, kOffered, kFeatureVersion1 | kFeatureEventIndex)) == 0xb);
}

TEST_CASE("FEATURES_OK does not stick without VERSION_1") {
  TransportRig rig;
  CHECK(rig.driver.negotiate(GENERATE(std::uint64_t{0}, kFeatureEventIndex, kFeatureEventIndex | kFeatureIndirect)) ==
        3);
  CHECK(rig.transport->metrics().refused_features_count.total() == 1);
}

TEST_CASE("FEATURES_OK does not stick when one bit was accepted that is not offered") {
  TransportRig rig;
  const auto bit = GENERATE(range(0U, 64U));
  const std::uint64_t extra = (std::uint64_t{1} << bit) & ~kOffered;
  CHECK(rig.driver.negotiate(kFeatureVersion1 | extra) == (extra == 0 ? 0xbU : 0x3U));
}

TEST_CASE("FEATURES_OK does not stick when a bit above 63 was accepted") {
  TransportRig rig;
  rig.driver.reset();
  rig.driver.set_status(1);
  rig.driver.set_status(3);
  rig.driver.accept_features(kFeatureVersion1);
  rig.driver.write(0x24, GENERATE(2U, 3U, 0xffffffffU));
  rig.driver.write(0x20, 1);
  rig.driver.set_status(0xb);
  CHECK(rig.driver.status() == 3);
}

TEST_CASE("zeroes in feature pages above the second are no objection") {
  TransportRig rig;
  rig.driver.set_status(1);
  rig.driver.set_status(3);
  rig.driver.accept_features(kFeatureVersion1);
  rig.driver.write(0x24, 2);
  rig.driver.write(0x20, 0);
  rig.driver.set_status(0xb);
  CHECK(rig.driver.status() == 0xb);
}

TEST_CASE("a driver that was refused may choose again") {
  TransportRig rig;
  REQUIRE(rig.driver.negotiate(kFeatureVersion1 | 1) == 3);
  rig.driver.accept_features(kFeatureVersion1);
  rig.driver.set_status(0xb);
  CHECK(rig.driver.status() == 0xb);
}

TEST_CASE("features are written in the DRIVER state only") {
  TransportRig rig;
  SECTION("too early") {
    rig.driver.accept_features(kFeatureVersion1);
    rig.driver.set_status(1);
    rig.driver.accept_features(kFeatureVersion1);
    rig.driver.set_status(3);
    rig.driver.set_status(0xb);
    CHECK(rig.driver.status() == 3);
  }
  SECTION("too late") {
    rig.start();
    rig.driver.accept_features(0xffffffffffffffff);
    CHECK(rig.device->negotiated == kFeatureVersion1);
  }
  CHECK(rig.transport->metrics().refused_write_count.total() >= 2);
}

TEST_CASE("the device gets the features that were negotiated") {
  TransportRig rig;
  rig.start(kOffered);
  CHECK(rig.device->negotiated == kOffered);
}

TEST_CASE("a reset forgets the accepted features") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.reset();
  rig.driver.set_status(1);
  rig.driver.set_status(3);
  rig.driver.set_status(0xb);
  CHECK(rig.driver.status() == 3);
}

TEST_CASE("the bit that only the device sets may be written back") {
  TransportRig rig;
  rig.start();
  rig.loop.call([&] { rig.device->signals->needs_reset(); });
  REQUIRE(rig.driver.status() == 0x4f);
  rig.driver.set_status(0x4f | 0x80);
  CHECK(rig.driver.status() == 0xcf);
}
