#include "vmm/control/capabilities.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/config/machine.h"

using namespace wisp;

TEST_CASE("the build's limits are the constants that requests are checked against, each with a unit") {
  const Capabilities build = build_capabilities();
  CHECK_FALSE(build.host.has_value());
  const auto value_of = [&](const char* name) {
    for (const Limit& limit : build.limits) {
      if (std::strcmp(limit.name, name) == 0) {
        CHECK(std::strlen(limit.unit) > 0);
        return limit.value;
      }
    }
    return std::uint64_t{0};
  };
  CHECK(value_of("vcpus") == kMaxVcpuCount);
  CHECK(value_of("memory") == kMaxStartableMemoryMib);
  CHECK(value_of("devices") == arch::kMaxMmioDevices);
}

TEST_CASE("looking at the host answers for everything, with a reason for what is not there, and changes nothing") {
  const HostCapabilities once = probe_host({.landlock_abi = 4, .filters = SystemCallFilters::On});
  const HostCapabilities again = probe_host({.landlock_abi = 0, .filters = SystemCallFilters::Off});
  CHECK(once.landlock_abi == 4);
  CHECK(once.seccomp);
  CHECK_FALSE(again.seccomp);
  REQUIRE(once.block_engines.size() == 2);
  CHECK(once.block_engines[0].name == "Sync");
  CHECK_FALSE(once.block_engines[0].obstacle.has_value());
  CHECK(once.cpu_templates.size() == 5);
  CHECK(once.huge_pages.size() == 2);
  CHECK(once.kvm.obstacle == again.kvm.obstacle);
  CHECK((once.kvm_max_vcpus > 0) == !once.kvm.obstacle.has_value());
  for (const Availability& each : once.cpu_templates) {
    CHECK((!each.obstacle || !each.obstacle->empty()));
  }
}
