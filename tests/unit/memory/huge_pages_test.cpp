// 2 MiB pages come from a pool of the host, which is empty unless somebody has filled it.
#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "vmm/memory/guest_memory.h"

namespace wisp {
namespace {

constexpr std::uint64_t kHugePageBytes = 2 * 1024 * 1024;
constexpr const char* kPool = "/sys/kernel/mm/hugepages/hugepages-2048kB/";

std::uint64_t pool_count(const std::string& name) {
  std::uint64_t count = 0;
  std::ifstream(kPool + name) >> count;
  return count;
}

TEST_CASE("Guest memory of 2 MiB pages is writable to its last byte, and too large a wish names the pool") {
  const std::uint64_t free_pages = pool_count("free_hugepages") - pool_count("resv_hugepages");
  const GuestRange too_large{GuestAddress(0), (free_pages + 1024) * kHugePageBytes};
  const auto refused = GuestMemory::create(std::span(&too_large, 1), PageBacking::Huge2M);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Catch::Matchers::Contains("/proc/sys/vm/nr_hugepages"));
  if (free_pages == 0) {
    WARN("skipped: the host's pool of 2 MiB pages is empty (/proc/sys/vm/nr_hugepages)");
    return;
  }

  const GuestRange one_page{GuestAddress(0), kHugePageBytes};
  const auto memory = GuestMemory::create(std::span(&one_page, 1), PageBacking::Huge2M);
  REQUIRE(memory.ok());
  CHECK(memory.value().write(GuestAddress(kHugePageBytes - 8), Le64(0x0123456789abcdef)));
  CHECK(memory.value().read<Le64>(GuestAddress(kHugePageBytes - 8)) == 0x0123456789abcdef);
  CHECK_FALSE(memory.value().write(GuestAddress(kHugePageBytes - 7), Le64(1)));
}

}  // namespace
}  // namespace wisp
