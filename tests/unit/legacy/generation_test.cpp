// VMGenID and VMClock, as a guest's drivers see them: bytes at fixed addresses, and an interrupt.
#include <poll.h>

#include <catch2/catch.hpp>
#include <vector>

#include "tests/fakes/guest.h"
#include "vmm/legacy/vm_clock.h"
#include "vmm/legacy/vm_gen_id.h"

namespace wisp {
namespace {

using fakes::GuestView;

constexpr std::uint64_t kId = 0xdfff0;
constexpr std::uint64_t kClock = 0xde000;
constexpr std::uint64_t kSeqCount = kClock + 12;
constexpr std::uint64_t kDisruption = kClock + 16;
constexpr std::uint64_t kGeneration = kClock + 104;

GuestMemory memory_of(std::uint64_t size_bytes) {
  const GuestRange range{GuestAddress(0), size_bytes};
  return GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
}
GuestMemory mib() {
  return memory_of(0x100000);
}

bool interrupted(FdRef event) {
  pollfd wait{event.raw(), POLLIN, 0};
  return ::poll(&wait, 1, 0) == 1;
}

TEST_CASE("VMGenID: a fresh machine has 16 random bytes at the top of the system area and no interrupt") {
  const GuestMemory memory = mib();
  const VmGenId device = VmGenId::create(memory, GenerationPage::Fresh).value();
  const GuestView guest(memory);
  CHECK(guest.bytes(kId, 16) != std::vector<std::byte>(16));
  CHECK(guest.bytes(kId - 16, 16) == std::vector<std::byte>(16));
  CHECK(guest.bytes(kId + 16, 16) == std::vector<std::byte>(16));
  CHECK_FALSE(interrupted(device.event()));
}

TEST_CASE("VMGenID: two machines have different identifiers") {
  const GuestMemory first = mib();
  const GuestMemory second = mib();
  (void)VmGenId::create(first, GenerationPage::Fresh).value();
  (void)VmGenId::create(second, GenerationPage::Fresh).value();
  CHECK(GuestView(first).bytes(kId, 16) != GuestView(second).bytes(kId, 16));
}

TEST_CASE("VMGenID: a restored machine keeps the saved identifier until renew, which changes it and interrupts") {
  const GuestMemory memory = mib();
  const GuestView guest(memory);
  guest.fill(kId, 16, 0x5a);
  const auto saved = guest.bytes(kId, 16);

  const VmGenId device = VmGenId::create(memory, GenerationPage::Restored).value();
  CHECK(guest.bytes(kId, 16) == saved);
  CHECK_FALSE(interrupted(device.event()));

  REQUIRE(device.renew().ok());
  CHECK(guest.bytes(kId, 16) != saved);
  CHECK(guest.bytes(kId - 16, 16) == std::vector<std::byte>(16));
  CHECK(interrupted(device.event()));
}

TEST_CASE("VMGenID: each renewal gives another identifier") {
  const GuestMemory memory = mib();
  const GuestView guest(memory);
  const VmGenId device = VmGenId::create(memory, GenerationPage::Fresh).value();
  const auto first = guest.bytes(kId, 16);
  REQUIRE(device.renew().ok());
  const auto second = guest.bytes(kId, 16);
  REQUIRE(device.renew().ok());
  CHECK(first != second);
  CHECK(second != guest.bytes(kId, 16));
}

TEST_CASE("VMGenID and VMClock: memory that ends below their pages is refused by a text that says what to raise") {
  const GuestMemory memory = memory_of(0xde000);
  const auto id = VmGenId::create(memory, GenerationPage::Fresh);
  REQUIRE_FALSE(id.ok());
  CHECK_THAT(id.error().text(), Catch::Matchers::Contains("mem_size_mib"));
  const auto clock = VmClock::create(memory, GenerationPage::Fresh);
  REQUIRE_FALSE(clock.ok());
  CHECK_THAT(clock.error().text(), Catch::Matchers::Contains("mem_size_mib"));
  CHECK_FALSE(VmClock::create(memory, GenerationPage::Restored).ok());
}

TEST_CASE("VMClock: a fresh page has the constants of its specification and no valid time") {
  const GuestMemory memory = mib();
  const VmClock device = VmClock::create(memory, GenerationPage::Fresh).value();
  const GuestView guest(memory);
  CHECK(guest.get(kClock, 4) == 0x4b4c4356);
  CHECK(guest.get(kClock + 4, 4) == 4096);
  CHECK(guest.get(kClock + 8, 2) == 1);
  CHECK(guest.get(kClock + 10, 1) == 0xff);  // counter: invalid
  CHECK(guest.get(kSeqCount, 4) == 0);
  CHECK(guest.get(kDisruption, 8) == 0);
  CHECK(guest.get(kClock + 24, 8) == 0x300);  // generation counter and notification present
  CHECK(guest.get(kClock + 34, 1) == 0);      // status: unknown
  CHECK(guest.get(kGeneration, 8) == 0);
  CHECK(guest.bytes(kClock + 35, 69) == std::vector<std::byte>(69));
  CHECK(guest.bytes(kClock + 112, 4096 - 112) == std::vector<std::byte>(4096 - 112));
  CHECK_FALSE(interrupted(device.event()));
}

TEST_CASE("VMClock: disrupt counts both counters up, leaves the sequence even and two further, and interrupts") {
  const GuestMemory memory = mib();
  const GuestView guest(memory);
  const VmClock device = VmClock::create(memory, GenerationPage::Fresh).value();
  const auto constants = guest.bytes(kClock, 12);

  REQUIRE(device.disrupt().ok());
  CHECK(guest.get(kSeqCount, 4) == 2);
  CHECK(guest.get(kDisruption, 8) == 1);
  CHECK(guest.get(kGeneration, 8) == 1);
  CHECK(guest.bytes(kClock, 12) == constants);
  CHECK(guest.get(kClock + 24, 8) == 0x300);
  CHECK(interrupted(device.event()));

  REQUIRE(device.disrupt().ok());
  CHECK(guest.get(kSeqCount, 4) == 4);
  CHECK(guest.get(kGeneration, 8) == 2);
}

TEST_CASE("VMClock: a restored machine goes on from the saved counters") {
  const GuestMemory memory = mib();
  const GuestView guest(memory);
  (void)VmClock::create(memory, GenerationPage::Fresh).value();
  guest.put(kSeqCount, 10, 4);
  guest.put(kDisruption, 7, 8);
  guest.put(kGeneration, 5, 8);

  const VmClock device = VmClock::create(memory, GenerationPage::Restored).value();
  CHECK(guest.get(kGeneration, 8) == 5);
  REQUIRE(device.disrupt().ok());
  CHECK(guest.get(kSeqCount, 4) == 12);
  CHECK(guest.get(kDisruption, 8) == 8);
  CHECK(guest.get(kGeneration, 8) == 6);
}

TEST_CASE("VMClock: whatever a guest has written there, the sequence ends even and the counters differ") {
  const GuestMemory memory = mib();
  const GuestView guest(memory);
  const VmClock device = VmClock::create(memory, GenerationPage::Fresh).value();
  guest.fill(kClock, 4096, 0xff);
  REQUIRE(device.disrupt().ok());
  CHECK(guest.get(kSeqCount, 4) == 0);  // odd 0xffffffff, then one more
  CHECK(guest.get(kDisruption, 8) == 0);
  CHECK(guest.get(kGeneration, 8) == 0);
  guest.put(kSeqCount, 5, 4);
  REQUIRE(device.disrupt().ok());
  CHECK(guest.get(kSeqCount, 4) == 6);
}

TEST_CASE("VMGenID and VMClock mark their pages dirty, so that a diff snapshot holds them") {
  GuestMemory memory = mib();
  const VmGenId id = VmGenId::create(memory, GenerationPage::Fresh).value();
  const VmClock clock = VmClock::create(memory, GenerationPage::Fresh).value();
  memory.clear_dirty_logs();
  REQUIRE(id.renew().ok());
  REQUIRE(clock.disrupt().ok());
  CHECK(memory.dirty_log(0).is_dirty(kId / 0x1000));
  CHECK(memory.dirty_log(0).is_dirty(kClock / 0x1000));
}

}  // namespace
}  // namespace wisp
