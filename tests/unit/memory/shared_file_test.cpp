// Memory that another process maps: its size cannot be changed, and what is discarded goes back to the host.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "vmm/memory/guest_memory.h"
#include "vmm/memory/shared_file.h"

using namespace wisp;

namespace {

constexpr std::uint64_t kBytes = 1U << 20U;

std::uint64_t paid_bytes(const Fd& file) {
  struct stat status {};
  REQUIRE(::fstat(file.raw(), &status) == 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

}  // namespace

TEST_CASE("shared memory file: cannot be cut or grown by whoever holds the descriptor") {
  const Fd file = std::move(create_shared_file(kBytes, PageBacking::Normal)).value();
  for (const off_t size : {off_t{0}, off_t{4096}, static_cast<off_t>(kBytes) + 1}) {
    CHECK(::ftruncate(file.raw(), size) != 0);
    CHECK(errno == EPERM);
  }
  CHECK(paid_bytes(file) == 0);
}

TEST_CASE("shared memory file: discarded guest memory goes back to the host and reads as zeros for both sides") {
  const Fd file = std::move(create_shared_file(kBytes, PageBacking::Normal)).value();
  const RegionPlan plan{.range = {GuestAddress(0), kBytes}, .file = RegionFile{file.ref(), 0, FileSharing::Shared}};
  const GuestMemory memory = std::move(GuestMemory::create_from(std::span(&plan, 1), PageBacking::Normal)).value();
  const auto* theirs = static_cast<const std::uint8_t*>(::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, file.raw(), 0));
  REQUIRE(theirs != MAP_FAILED);
  memory.writable(GuestAddress(0), kBytes)->fill(std::byte{0x5a});
  CHECK(theirs[kBytes - 1] == 0x5a);
  CHECK(paid_bytes(file) == kBytes);
  const Discarded freed = memory.discard({GuestAddress(kBytes / 2), kBytes / 2});
  CHECK(freed.done());
  CHECK(freed.freed_bytes == kBytes / 2);
  CHECK(paid_bytes(file) == kBytes / 2);
  CHECK(theirs[kBytes / 2 - 1] == 0x5a);
  CHECK(theirs[kBytes / 2] == 0);
  ::munmap(const_cast<std::uint8_t*>(theirs), kBytes);
}
