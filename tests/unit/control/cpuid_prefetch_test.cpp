#include "vmm/machine/cpuid_prefetch.h"

#include <catch2/catch.hpp>
#include <type_traits>

namespace wisp {

// The address and thread sanitizers see a thread that writes its table when the table is gone.
TEST_CASE("a prefetch that nobody takes waits for its thread before its table goes") {
  for (int turn = 0; turn < 20; ++turn) {
    CpuidPrefetch prefetch;
    prefetch.start();
  }
  CHECK_FALSE(std::is_move_constructible_v<CpuidPrefetch>);
}

TEST_CASE("a prefetch can be taken again and without a start, and says the same") {
  const auto system = KvmSystem::open();
  if (!system.ok()) {
    WARN("no KVM here: " + system.error().text());
    return;
  }
  CpuidPrefetch prefetch;
  prefetch.start();
  const auto first = prefetch.take(system.value());
  const auto again = prefetch.take(system.value());
  CpuidPrefetch never;
  const auto without = never.take(system.value());
  REQUIRE(first.ok());
  REQUIRE(again.ok());
  REQUIRE(without.ok());
  CHECK(first.value().size() == again.value().size());
  CHECK(first.value().size() == without.value().size());
}

}  // namespace wisp
