// What the host really holds of guest memory, asked from the kernel: tests of everything that gives memory back.
#pragma once

#include <sys/mman.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "vmm/base/assert.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// The tests' own key.
struct KernelIoKeyForTests {
  static KernelIoKey make() { return KernelIoKey(); }
};

namespace fakes {

inline iovec host_range(const GuestMemory& memory, GuestRange range) {
  const auto host = memory.lend_range(range, KernelIoKeyForTests::make());
  WISP_ASSERT(host.has_value());
  return *host;
}

/// Pages of 4 KiB that the host holds for the range (mincore(2)); plugged or not.
inline std::size_t resident_pages(const GuestMemory& memory, GuestRange range) {
  const iovec host = host_range(memory, range);
  std::vector<unsigned char> pages((host.iov_len + 4095) / 4096);
  WISP_ASSERT(::mincore(host.iov_base, host.iov_len, pages.data()) == 0);
  std::size_t count = 0;
  for (const unsigned char page : pages) {
    count += page & 1U;
  }
  return count;
}

/// Does the kernel leave the range out of core files (the flag "dd" in /proc/self/smaps)?
inline bool excluded_from_core(const GuestMemory& memory, GuestRange range) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(host_range(memory, range).iov_base);
  std::FILE* maps = std::fopen("/proc/self/smaps", "re");
  WISP_ASSERT(maps != nullptr);
  char line[512];
  bool inside = false;
  bool excluded = false;
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
      inside = start <= wanted && wanted < end;
    } else if (inside && std::strncmp(line, "VmFlags:", 8) == 0) {
      excluded = std::strstr(line, " dd") != nullptr;
    }
  }
  std::fclose(maps);
  return excluded;
}

}  // namespace fakes
}  // namespace wisp
