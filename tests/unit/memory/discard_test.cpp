// What GuestMemory gives back to the host, seen from outside: resident pages and contents.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/fakes/guest.h"
#include "tests/fakes/resident.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {
namespace {

using fakes::GuestView;
using fakes::resident_pages;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kBase = 0x100000;

/// A file of `page_count` pages, page i full of the byte 0x10 + i.
Fd make_file(std::size_t page_count) {
  Fd fd(::memfd_create("wisp-test", MFD_CLOEXEC));
  REQUIRE(fd.valid());
  for (std::size_t page = 0; page < page_count; ++page) {
    const std::vector<std::byte> bytes(kPage, static_cast<std::byte>(0x10 + page));
    REQUIRE(::pwrite(fd.raw(), bytes.data(), kPage, static_cast<off_t>(page * kPage)) == static_cast<ssize_t>(kPage));
  }
  return fd;
}

GuestMemory make_file_memory(const Fd& fd, std::size_t page_count, FileSharing sharing) {
  const RegionPlan plans[] = {{.range = {GuestAddress(kBase), page_count * kPage},
                               .file = RegionFile{.fd = fd.ref(), .offset_bytes = 0, .sharing = sharing}}};
  return GuestMemory::create_from(plans, PageBacking::Normal).value();
}

TEST_CASE("Discarded pages of anonymous memory are not resident any more and read as zeros") {
  const GuestRange range{GuestAddress(kBase), 16 * kPage};
  const GuestMemory memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
  const GuestView guest(memory);
  guest.fill(kBase, 16 * kPage, 0x77);
  REQUIRE(resident_pages(memory, range) == 16);

  const Discarded discarded = memory.discard({GuestAddress(kBase + 4 * kPage), 8 * kPage});

  CHECK(discarded.done());
  CHECK(discarded.freed_bytes == 8 * kPage);
  CHECK(resident_pages(memory, range) == 8);
  CHECK(guest.holds(kBase, 4 * kPage, 0x77));
  CHECK(guest.holds(kBase + 4 * kPage, 8 * kPage, 0));
  CHECK(guest.holds(kBase + 12 * kPage, 4 * kPage, 0x77));
}

TEST_CASE("Only whole pages are given back") {
  const GuestRange range{GuestAddress(kBase), 4 * kPage};
  const GuestMemory memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
  const GuestView guest(memory);
  guest.fill(kBase, 4 * kPage, 0x77);

  const Discarded across = memory.discard({GuestAddress(kBase + 1), 2 * kPage});
  const Discarded inside = memory.discard({GuestAddress(kBase + 3 * kPage + 1), 100});

  CHECK(across.freed_bytes == kPage);
  CHECK(inside.done());
  CHECK(inside.freed_bytes == 0);
  CHECK(guest.holds(kBase, kPage, 0x77));
  CHECK(guest.holds(kBase + kPage, kPage, 0));
  CHECK(guest.holds(kBase + 2 * kPage, 2 * kPage, 0x77));
}

TEST_CASE("A range that is not all memory is refused and nothing of it is touched") {
  const GuestMemory memory = fakes::make_memory();
  const GuestView guest(memory);
  guest.fill(fakes::kLowStart, fakes::kLowBytes, 0x77);
  const std::uint64_t end = fakes::kLowStart + fakes::kLowBytes;
  const GuestRange bad[] = {{GuestAddress(end - kPage), 2 * kPage},
                            {GuestAddress(0), kPage},
                            {GuestAddress(end), kPage},
                            {GuestAddress(fakes::kLowStart), 0},
                            {GuestAddress(~std::uint64_t{0} - kPage + 1), kPage},
                            {GuestAddress(fakes::kLowStart), ~std::uint64_t{0}}};
  for (const GuestRange& range : bad) {
    CAPTURE(range.start.value(), range.size_bytes);
    CHECK(memory.discard(range).outcome == DiscardOutcome::OutsideMemory);
  }
  CHECK(guest.holds(fakes::kLowStart, fakes::kLowBytes, 0x77));
}

TEST_CASE("A range may span two regions that touch") {
  const GuestRange ranges[] = {{GuestAddress(kBase), 4 * kPage}, {GuestAddress(kBase + 4 * kPage), 4 * kPage}};
  const GuestMemory memory = GuestMemory::create(ranges, PageBacking::Normal).value();
  const GuestView guest(memory);
  guest.fill(kBase, 4 * kPage, 0x77);
  guest.fill(kBase + 4 * kPage, 4 * kPage, 0x77);

  CHECK(memory.discard({GuestAddress(kBase + 3 * kPage), 2 * kPage}).freed_bytes == 2 * kPage);
  CHECK(guest.holds(kBase + 3 * kPage, kPage, 0));
  CHECK(guest.holds(kBase + 4 * kPage, kPage, 0));
  CHECK(guest.holds(kBase + 5 * kPage, 3 * kPage, 0x77));
}

TEST_CASE("A discard is in the dirty log: the contents have changed") {
  const GuestRange range{GuestAddress(kBase), 16 * kPage};
  const GuestMemory memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
  (void)memory.discard({GuestAddress(kBase + 2 * kPage), 3 * kPage});
  CHECK(memory.dirty_log(0).dirty_page_count() == 3);
  CHECK(memory.dirty_log(0).is_dirty(2));
  CHECK_FALSE(memory.dirty_log(0).is_dirty(5));
}

TEST_CASE("A discarded page of a private file mapping reads as zeros, not as the file again") {
  const Fd file = make_file(8);
  const GuestMemory memory = make_file_memory(file, 8, FileSharing::Private);
  const GuestView guest(memory);
  CHECK(guest.holds(kBase + 3 * kPage, kPage, 0x13));  // never written: the file's page
  guest.fill(kBase + 4 * kPage, kPage, 0x77);          // written: a private copy

  const Discarded discarded = memory.discard({GuestAddress(kBase + 3 * kPage), 2 * kPage});

  CHECK(discarded.freed_bytes == 2 * kPage);
  CHECK(guest.holds(kBase + 3 * kPage, 2 * kPage, 0));
  CHECK(guest.holds(kBase + 2 * kPage, kPage, 0x12));
  CHECK(guest.holds(kBase + 5 * kPage, kPage, 0x15));
  std::byte first{};
  REQUIRE(::pread(file.raw(), &first, 1, static_cast<off_t>(3 * kPage)) == 1);
  CHECK(first == std::byte{0x13});  // the file itself is untouched
  guest.fill(kBase + 3 * kPage, kPage, 0x66);
  CHECK(memory.discard({GuestAddress(kBase + 3 * kPage), kPage}).done());
  CHECK(guest.holds(kBase + 3 * kPage, kPage, 0));
}

TEST_CASE("A discarded page of shared memory is a hole in the file, for everybody who shares it") {
  const Fd file = make_file(8);
  const GuestMemory memory = make_file_memory(file, 8, FileSharing::Shared);
  const GuestView guest(memory);

  CHECK(memory.discard({GuestAddress(kBase + 3 * kPage), 2 * kPage}).freed_bytes == 2 * kPage);

  CHECK(guest.holds(kBase + 3 * kPage, 2 * kPage, 0));
  CHECK(guest.holds(kBase + 5 * kPage, kPage, 0x15));
  std::byte first{0xff};
  REQUIRE(::pread(file.raw(), &first, 1, static_cast<off_t>(3 * kPage)) == 1);
  CHECK(first == std::byte{0});
  guest.fill(kBase, kPage, 0x55);
  REQUIRE(::pread(file.raw(), &first, 1, 0) == 1);
  CHECK(first == std::byte{0x55});
}

TEST_CASE("Guest memory stays out of core files after a discard, whatever the region is made of") {
  const Fd file = make_file(8);
  const auto sharing = GENERATE(FileSharing::Private, FileSharing::Shared);
  const GuestMemory memory = make_file_memory(file, 8, sharing);
  REQUIRE(memory.discard({GuestAddress(kBase + 2 * kPage), kPage}).done());
  for (std::uint64_t page = 0; page < 8; ++page) {
    CAPTURE(page);
    CHECK(fakes::excluded_from_core(memory, {GuestAddress(kBase + page * kPage), kPage}));
  }
}

}  // namespace
}  // namespace wisp
