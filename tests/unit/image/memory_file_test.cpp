#include "snapshot/image/memory_file.h"

#include "snapshot/image/extents.h"
#include "tests/unit/image/image_rig.h"

namespace wisp {
namespace {

using Catch::Matchers::Contains;
using image_rig::file_contents;
using image_rig::open_file;
using image_rig::put_file;
using image_rig::TempDir;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMib = 1024 * 1024;

RegionPlan region(std::uint64_t start, std::uint64_t size_bytes, std::uint64_t block_size_bytes = 0) {
  return {.range = {GuestAddress(start), size_bytes}, .block_size_bytes = block_size_bytes};
}

TEST_CASE("Only layouts that memory can be made of are accepted") {
  const auto accepts = [](std::vector<RegionPlan> regions) { return check_layout(regions).ok(); };
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  CHECK(accepts({region(0, kPage)}));
  CHECK(accepts({region(0, kPage), region(kPage, kPage), region(8 * kMib, 4 * kMib, 2 * kMib)}));
  CHECK_FALSE(accepts({}));
  CHECK_FALSE(accepts({region(0, 0)}));
  CHECK_FALSE(accepts({region(0, 100)}));
  CHECK_FALSE(accepts({region(1, kPage)}));
  CHECK_FALSE(accepts({region(kPage, kPage), region(0, kPage)}));
  CHECK_FALSE(accepts({region(0, 2 * kPage), region(kPage, kPage)}));
  CHECK_FALSE(accepts({region(0 - kPage, 2 * kPage)}));
  CHECK_FALSE(accepts({region(0, kTop), region(kTop, kTop - kPage)}));
  CHECK_FALSE(accepts({region(0, 4 * kMib, 3 * kMib)}));
  CHECK_FALSE(accepts({region(0, 4 * kMib, kPage)}));
  CHECK_FALSE(accepts({region(0, 3 * kMib, 2 * kMib)}));
  CHECK_FALSE(accepts({region(0, 4 * kMib, 2 * kMib), region(8 * kMib, kPage)}));
  CHECK_FALSE(accepts(std::vector<RegionPlan>(kMaxMemoryRegions + 1, region(0, kPage))));
}

TEST_CASE("A memory file of any other size, of another kind or not readable is refused before it is mapped") {
  const TempDir dir;
  const std::vector<RegionPlan> regions = {region(0, 2 * kPage)};
  for (const std::size_t size : {std::size_t{0}, std::size_t{4096}, std::size_t{8191}, std::size_t{8193}}) {
    CAPTURE(size);
    put_file(dir.file("mem"), std::string(size, 'x'));
    const Fd fd = open_file(dir.file("mem"), O_RDONLY);
    const auto memory = map_memory_file(regions, fd.ref(), "the-file", PageBacking::Normal);
    REQUIRE_FALSE(memory.ok());
    CHECK_THAT(memory.error().text(), Contains("the-file") && Contains("8192") && Contains(std::to_string(size)));
  }
  put_file(dir.file("mem"), std::string(8192, 'x'));
  CHECK(map_memory_file(regions, open_file(dir.file("mem"), O_RDONLY).ref(), "a", PageBacking::Normal).ok());
  CHECK_FALSE(map_memory_file(regions, open_file(dir.file("mem"), O_WRONLY).ref(), "a", PageBacking::Normal).ok());
  CHECK_FALSE(map_memory_file(regions, open_file(dir.file("mem"), O_PATH).ref(), "a", PageBacking::Normal).ok());
  CHECK_FALSE(map_memory_file(regions, open_file("/dev/zero", O_RDONLY).ref(), "a", PageBacking::Normal).ok());
  CHECK_FALSE(map_memory_file(regions, FdRef(-1), "a", PageBacking::Normal).ok());
  CHECK_FALSE(map_memory_file({}, FdRef(-1), "a", PageBacking::Normal).ok());
  const auto huge = map_memory_file(regions, open_file(dir.file("mem"), O_RDONLY).ref(), "a", PageBacking::Huge2M);
  REQUIRE_FALSE(huge.ok());
  CHECK(huge.error().text() == "Cannot restore hugetlbfs backed snapshot by mapping the memory file. Please use uffd.");
}

/// A file of `size` bytes with text at some offsets.
void put_sparse(const std::string& path, std::uint64_t size, const std::vector<std::pair<off_t, std::string>>& parts) {
  const Fd fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
  REQUIRE(::ftruncate(fd.raw(), static_cast<off_t>(size)) == 0);
  for (const auto& [offset, text] : parts) {
    REQUIRE(::pwrite(fd.raw(), text.data(), text.size(), offset) == static_cast<ssize_t>(text.size()));
  }
}

TEST_CASE("Merging copies what is data in the diff and nothing else, with zeros where they are data") {
  const TempDir dir;
  put_file(dir.file("base"), std::string(40 * kPage, 'b'));
  put_sparse(dir.file("diff"), 40 * kPage,
             {{2 * kPage, std::string(kPage, 'd')}, {7 * kPage, std::string(kPage, '\0')}, {39 * kPage, "end"}});
  REQUIRE(merge_diff(dir.file("base"), dir.file("diff")).ok());
  std::string expected(40 * kPage, 'b');
  expected.replace(2 * kPage, kPage, kPage, 'd');
  expected.replace(7 * kPage, kPage, kPage, '\0');
  expected.replace(39 * kPage, kPage, "end" + std::string(kPage - 3, '\0'));
  CHECK(file_contents(dir.file("base")) == expected);
}

TEST_CASE("Merging goes on by hand where the kernel does not copy, and a failed merge is repaired by the next") {
  struct Reluctant final : FileCalls {
    ssize_t copy_range(int, std::uint64_t, int, std::uint64_t, std::size_t) override {
      errno = EXDEV;
      return -1;
    }
    ssize_t write_at(int fd, const iovec* vectors, int count, std::uint64_t offset) override {
      if (++writes == 3) {
        errno = ENOSPC;
        return -1;
      }
      return FileCalls::write_at(fd, vectors, count, offset);
    }
    int writes = 0;
  } calls;
  const TempDir dir;
  put_file(dir.file("base"), std::string(100 * kPage, 'b'));
  const std::string data(90 * kPage, 'd');
  put_sparse(dir.file("diff"), 100 * kPage, {{kPage, data}});
  const Status failed = merge_diff(dir.file("base"), dir.file("diff"), calls);
  REQUIRE_FALSE(failed.ok());
  CHECK_THAT(failed.error().text(), Contains("No space left") && Contains("done again"));

  REQUIRE(merge_diff(dir.file("base"), dir.file("diff"), calls).ok());

  CHECK(file_contents(dir.file("base")) == std::string(kPage, 'b') + data + std::string(9 * kPage, 'b'));
}

TEST_CASE("Files that do not belong together are not merged") {
  const TempDir dir;
  put_file(dir.file("base"), std::string(2 * kPage, 'b'));
  put_file(dir.file("diff"), std::string(3 * kPage, 'd'));
  const Status status = merge_diff(dir.file("base"), dir.file("diff"));
  REQUIRE_FALSE(status.ok());
  CHECK_THAT(status.error().text(), Contains("8192") && Contains("12288"));
  CHECK_FALSE(merge_diff(dir.file("base"), dir.file("none")).ok());
  CHECK_FALSE(merge_diff(dir.file("none"), dir.file("diff")).ok());
  CHECK_FALSE(merge_diff(dir.file("base"), "/dev/zero").ok());
  CHECK(file_contents(dir.file("base")) == std::string(2 * kPage, 'b'));
}

TEST_CASE("Extents are what is data within the range") {
  const TempDir dir;
  put_sparse(dir.file("f"), 100 * kPage, {{10 * kPage, std::string(2 * kPage, 'x')}, {50 * kPage, "y"}});
  const Fd fd = open_file(dir.file("f"), O_RDONLY);
  const auto all = data_extents(fd.ref(), "f", 0, 100 * kPage);
  REQUIRE(all.ok());
  REQUIRE(all.value().size() == 2);
  CHECK(all.value()[0].offset == 10 * kPage);
  CHECK(all.value()[0].length_bytes == 2 * kPage);
  const auto part = data_extents(fd.ref(), "f", 11 * kPage, 20 * kPage);
  REQUIRE(part.value().size() == 1);
  CHECK(part.value()[0].offset == 11 * kPage);
  CHECK(part.value()[0].length_bytes == kPage);
  CHECK(data_extents(fd.ref(), "f", 60 * kPage, 40 * kPage).value().empty());
}

}  // namespace
}  // namespace wisp
