#include "snapshot/image/memory_image.h"

#include <random>

#include "snapshot/image/memory_file.h"
#include "tests/fakes/guest.h"
#include "tests/fakes/resident.h"
#include "tests/unit/image/image_rig.h"

namespace wisp {
namespace {

using Catch::Matchers::Contains;
using fakes::GuestView;
using image_rig::file_bytes;
using image_rig::TempDir;

constexpr std::uint64_t kPage = kPageSizeBytes;
constexpr std::uint64_t kLowPages = 200;
constexpr std::uint64_t kHighPages = 70;
constexpr std::uint64_t kHighAddress = 0x400000;
constexpr std::uint64_t kHotplugAddress = 0x800000;
constexpr std::uint64_t kBlock = 2 * 1024 * 1024;

std::vector<RegionPlan> layout() {
  return {{.range = {GuestAddress(0), kLowPages * kPage}}, {.range = {GuestAddress(kHighAddress), kHighPages * kPage}}};
}

GuestMemory make_memory() {
  return GuestMemory::create_from(layout(), PageBacking::Normal).value();
}

Status write_full(const GuestMemory& memory, const std::string& path) {
  AtomicFile out = WISP_TRY(AtomicFile::create(kMemoryFile, path));
  (void)WISP_TRY(MemoryImage(memory, AbsentPages::ReadAsZeros).write_full(out));
  return out.publish();
}

Status write_diff(const GuestMemory& memory, const DirtyBitmap& dirty, const std::string& path) {
  AtomicFile out = WISP_TRY(AtomicFile::create_keeping(kMemoryFile, path, memory.total_size_bytes()));
  (void)WISP_TRY(MemoryImage(memory, AbsentPages::ReadAsZeros).write_diff(dirty, out));
  return out.publish();
}

GuestMemory map_file(const std::string& path) {
  const Fd fd = image_rig::open_file(path, O_RDONLY);
  return std::move(map_memory_file(layout(), fd.ref(), path, PageBacking::Normal)).value();
}

DirtyBitmap monitor_writes(const GuestMemory& memory) {
  DirtyBitmap dirty(memory);
  dirty.merge(memory);
  return dirty;
}

TEST_CASE("A full image is guest memory, region after region, byte for byte") {
  const TempDir dir;
  const GuestMemory memory = make_memory();
  const GuestView guest(memory);
  guest.fill(3 * kPage + 100, 2 * kPage, 0x11);
  guest.fill((kLowPages - 1) * kPage, kPage, 0x22);
  guest.fill(kHighAddress, 1, 0x33);
  REQUIRE(write_full(memory, dir.file("mem")).ok());
  CHECK(file_bytes(dir.file("mem")) == guest.image());
}

TEST_CASE("Pages that were never touched, given back or unplugged are holes and read as zeros") {
  const TempDir dir;
  const GuestRange ram{GuestAddress(0), 512 * kPage};
  const HotplugRange hotplug{{GuestAddress(kHotplugAddress), 4 * kBlock}, kBlock};
  const GuestMemory memory = GuestMemory::create(std::span(&ram, 1), PageBacking::Normal, hotplug).value();
  REQUIRE(memory.plug_blocks({GuestAddress(kHotplugAddress + kBlock), kBlock}, BlockContents::Zeroed));
  const GuestView guest(memory);
  guest.fill(100 * kPage, kPage, 0x44);
  guest.fill(200 * kPage, 100 * kPage, 0x55);
  guest.fill(kHotplugAddress + kBlock + 5, 1, 0x66);
  REQUIRE(memory.discard({GuestAddress(200 * kPage), 100 * kPage}).done());
  const bool has_holes = fakes::resident_pages(memory, ram) < 100;  // not where the host makes large pages of small

  REQUIRE(write_full(memory, dir.file("mem")).ok());

  const auto bytes = file_bytes(dir.file("mem"));
  REQUIRE(bytes.size() == 512 * kPage + 4 * kBlock);
  CHECK(bytes[100 * kPage] == std::byte{0x44});
  CHECK(bytes[250 * kPage] == std::byte{0});
  CHECK(bytes[512 * kPage + kBlock + 5] == std::byte{0x66});
  if (has_holes) {
    CHECK(image_rig::allocated_bytes(dir.file("mem")) < 100 * kPage + kBlock);
  }
}

TEST_CASE("A file of another size or with other contents is replaced as a whole, by path and by descriptor") {
  const TempDir dir;
  const GuestMemory memory = make_memory();
  GuestView(memory).fill(0, 10, 0x77);
  const auto present = GENERATE(std::size_t{10}, (kLowPages + kHighPages) * kPage, std::size_t{2'000'000});
  image_rig::put_file(dir.file("mem"), std::string(present, 'x'));
  SECTION("path") {
    REQUIRE(write_full(memory, dir.file("mem")).ok());
  }
  SECTION("descriptor") {
    AtomicFile out = AtomicFile::over(kMemoryFile, image_rig::open_file(dir.file("mem"), O_RDWR)).value();
    REQUIRE(MemoryImage(memory, AbsentPages::ReadAsZeros).write_full(out).ok());
    REQUIRE(out.publish().ok());
  }
  CHECK(file_bytes(dir.file("mem")) == GuestView(memory).image());
}

TEST_CASE("A diff holds the dirty pages, with zeros where they are zero, and holes elsewhere") {
  const TempDir dir;
  GuestMemory memory = make_memory();
  const GuestView guest(memory);
  guest.fill(0, kLowPages * kPage, 0x10);
  memory.clear_dirty_logs();
  guest.fill(7 * kPage, 1, 0x20);
  REQUIRE(memory.discard({GuestAddress(9 * kPage), kPage}).done());
  REQUIRE(write_diff(memory, monitor_writes(memory), dir.file("diff")).ok());

  const auto bytes = file_bytes(dir.file("diff"));
  CHECK(bytes.size() == memory.total_size_bytes());
  CHECK(bytes[7 * kPage] == std::byte{0x20});
  CHECK(bytes[7 * kPage + 1] == std::byte{0x10});
  CHECK(bytes[8 * kPage] == std::byte{0});
  CHECK(image_rig::allocated_bytes(dir.file("diff")) == 2 * kPage);
}

TEST_CASE("A diff onto a file of the right size merges, and the old file is whole until it is published") {
  const TempDir dir;
  GuestMemory memory = make_memory();
  const GuestView guest(memory);
  guest.fill(0, 20 * kPage, 0x10);
  REQUIRE(write_full(memory, dir.file("mem")).ok());
  const auto before = file_bytes(dir.file("mem"));
  memory.clear_dirty_logs();
  guest.fill(4 * kPage, 1, 0x20);
  REQUIRE(memory.discard({GuestAddress(9 * kPage), kPage}).done());
  AtomicFile out = AtomicFile::create_keeping(kMemoryFile, dir.file("mem"), memory.total_size_bytes()).value();
  REQUIRE(MemoryImage(memory, AbsentPages::ReadAsZeros).write_diff(monitor_writes(memory), out).ok());
  CHECK(file_bytes(dir.file("mem")) == before);
  REQUIRE(out.publish().ok());
  CHECK(file_bytes(dir.file("mem")) == guest.image());
}

TEST_CASE("A full disk in the middle of a merging diff leaves the old file whole") {
  const TempDir dir;
  GuestMemory memory = make_memory();
  GuestView(memory).fill(0, 20 * kPage, 0x10);
  REQUIRE(write_full(memory, dir.file("mem")).ok());
  const auto before = file_bytes(dir.file("mem"));
  GuestView(memory).fill(0, 40 * kPage, 0x20);
  for (int fail_at = 0; fail_at < 100; ++fail_at) {
    CAPTURE(fail_at);
    image_rig::FailingCalls calls(fail_at, ENOSPC, image_rig::FailingCalls::Extent::FromThen);
    bool written = false;
    {
      auto out = AtomicFile::create_keeping(kMemoryFile, dir.file("mem"), memory.total_size_bytes(), calls);
      written = out.ok() &&
                MemoryImage(memory, AbsentPages::ReadAsZeros).write_diff(monitor_writes(memory), out.value()).ok();
    }
    CHECK(file_bytes(dir.file("mem")) == before);
    if (written) {
      CHECK(fail_at > 4);
      return;
    }
  }
  FAIL("the operation never came to its end");
}

// ---------------------------------------------------------------------------------------------------------------------
// Memory that comes from a file.

TEST_CASE("Mapped memory has the file's contents, and writing it leaves the file alone") {
  const TempDir dir;
  const GuestMemory origin = make_memory();
  GuestView(origin).fill(5 * kPage, 3 * kPage, 0x31);
  GuestView(origin).fill(kHighAddress + 7, 9, 0x32);
  REQUIRE(write_full(origin, dir.file("mem")).ok());
  const auto before = file_bytes(dir.file("mem"));

  const GuestMemory clone = map_file(dir.file("mem"));
  CHECK(GuestView(clone).image() == GuestView(origin).image());
  GuestView(clone).fill(0, kLowPages * kPage, 0x99);
  REQUIRE(clone.discard({GuestAddress(5 * kPage), kPage}).done());

  CHECK(GuestView(clone).holds(5 * kPage, kPage, 0));
  CHECK(file_bytes(dir.file("mem")) == before);
  CHECK(fakes::excluded_from_core(clone, layout()[0].range));
}

TEST_CASE("A clone's full image is its memory: untouched, copied, given back, and beside the file's holes") {
  const TempDir dir;
  const GuestMemory origin = make_memory();
  GuestView(origin).fill(5 * kPage, 3 * kPage, 0x31);
  REQUIRE(write_full(origin, dir.file("mem")).ok());
  const GuestMemory clone = map_file(dir.file("mem"));
  const GuestView guest(clone);
  guest.fill(6 * kPage, 1, 0x41);
  guest.fill(100 * kPage, 1, 0x42);
  guest.fill(kHighAddress, 1, 0x43);
  REQUIRE(clone.discard({GuestAddress(7 * kPage), kPage}).done());

  REQUIRE(write_full(clone, dir.file("second")).ok());
  REQUIRE(write_diff(clone, monitor_writes(clone), dir.file("diff")).ok());
  REQUIRE(merge_diff(dir.file("mem"), dir.file("diff")).ok());

  CHECK(file_bytes(dir.file("second")) == guest.image());
  CHECK(file_bytes(dir.file("mem")) == guest.image());
}

TEST_CASE("A clone's image can replace the file it came from, but not be written over it") {
  const TempDir dir;
  const GuestMemory origin = make_memory();
  GuestView(origin).fill(5 * kPage, 3 * kPage, 0x31);
  REQUIRE(write_full(origin, dir.file("mem")).ok());
  const GuestMemory clone = map_file(dir.file("mem"));
  const auto before = file_bytes(dir.file("mem"));

  AtomicFile over = AtomicFile::over(kMemoryFile, image_rig::open_file(dir.file("mem"), O_RDWR)).value();
  const MemoryImage image(clone, AbsentPages::ReadAsZeros);
  const Status refused = image.write_full(over);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Contains("this machine's memory comes from"));
  CHECK_FALSE(image.write_diff(DirtyBitmap(clone), over).ok());
  CHECK(file_bytes(dir.file("mem")) == before);

  GuestView(clone).fill(0, 1, 0x51);
  REQUIRE(write_full(clone, dir.file("mem")).ok());
  CHECK(file_bytes(dir.file("mem")) == GuestView(clone).image());
}

TEST_CASE("Without tracking, a diff of the touched pages is enough") {
  const TempDir dir;
  GuestMemory memory = make_memory();
  const bool mapped = GENERATE(false, true);
  GuestView(memory).fill(0, 30 * kPage, 0x10);
  REQUIRE(write_full(memory, dir.file("base")).ok());
  if (mapped) {
    REQUIRE(write_full(memory, dir.file("origin")).ok());
    memory = map_file(dir.file("origin"));
  }
  memory.clear_dirty_logs();
  const iovec raw = fakes::host_range(memory, {GuestAddress(40 * kPage), kPage});
  static_cast<unsigned char*>(raw.iov_base)[17] = 0x21;  // as the guest writes: no log sees it
  REQUIRE(memory.discard({GuestAddress(3 * kPage), 2 * kPage}).done());

  DirtyBitmap dirty = MemoryImage(memory, AbsentPages::ReadAsZeros).touched_pages();
  dirty.merge(memory);
  REQUIRE(write_diff(memory, dirty, dir.file("diff")).ok());
  REQUIRE(merge_diff(dir.file("base"), dir.file("diff")).ok());

  CHECK(file_bytes(dir.file("base")) == GuestView(memory).image());
}

TEST_CASE("Pages that a handler holds are asked for, not left out") {
  const GuestMemory memory = make_memory();
  const auto content = MemoryImage(memory, AbsentPages::ComeWhenAsked).content_pages();
  REQUIRE(content.ok());
  CHECK(content.value().dirty_page_count() == kLowPages + kHighPages);
}

// ---------------------------------------------------------------------------------------------------------------------
// The property.

class Machine {
 public:
  Machine() : memory_(make_memory()), guest_log_(memory_) {}

  void write_randomly(std::mt19937& random) {
    const auto run = random_run(random);
    const GuestRange range{GuestAddress(run.address), run.length};
    const auto value = static_cast<std::uint8_t>(random());
    switch (random() % 4) {
      case 0: GuestView(memory_).fill(run.address, run.length, value); break;
      case 1: REQUIRE(memory_.discard(range).done()); break;
      default: write_as_guest(run, range, value); break;
    }
  }
  /// What has changed since the last call.
  DirtyBitmap take_dirty() {
    DirtyBitmap dirty = guest_log_;
    dirty.merge(memory_);
    guest_log_.clear();
    memory_.clear_dirty_logs();
    return dirty;
  }
  void restore_from(const std::string& path) {
    memory_ = map_file(path);
    guest_log_.clear();
  }
  const GuestMemory& memory() const { return memory_; }

 private:
  struct Run {
    std::size_t region;
    std::uint64_t address;
    std::uint64_t offset;
    std::uint64_t length;
  };
  static Run random_run(std::mt19937& random) {
    const std::size_t region = random() % 2;
    const std::uint64_t size = (region == 0 ? kLowPages : kHighPages) * kPage;
    const std::uint64_t offset = random() % size;
    const std::uint64_t limit = std::min(size - offset, random() % 3 == 0 ? 20 * kPage : 600);
    return {region, (region == 0 ? 0 : kHighAddress) + offset, offset, 1 + random() % limit};
  }
  /// Past the monitor's log, as KVM would see it.
  void write_as_guest(const Run& run, GuestRange range, std::uint8_t value) {
    const iovec raw = fakes::host_range(memory_, range);
    std::memset(raw.iov_base, value, raw.iov_len);
    for (std::uint64_t page = run.offset / kPage; page <= (run.offset + run.length - 1) / kPage; ++page) {
      const std::uint64_t word[] = {std::uint64_t{1} << (page % 64)};
      guest_log_.merge_words(run.region, page / 64 * 64, word);
    }
  }

  GuestMemory memory_;
  DirtyBitmap guest_log_;
};

TEST_CASE("A base with its diffs merged is the full image, whatever guest and devices wrote, over restores, too") {
  for (std::uint32_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const TempDir dir;
    Machine machine;
    for (int writes = 0; writes < 10; ++writes) {
      machine.write_randomly(random);
    }
    REQUIRE(write_full(machine.memory(), dir.file("base")).ok());
    machine.take_dirty();
    for (int generation = 0; generation < 6; ++generation) {
      CAPTURE(generation);
      for (auto writes = random() % 15; writes > 0; --writes) {
        machine.write_randomly(random);
      }
      REQUIRE(write_full(machine.memory(), dir.file("full")).ok());
      const DirtyBitmap dirty = machine.take_dirty();
      if (random() % 2 == 0) {
        std::filesystem::remove(dir.file("diff"));
        REQUIRE(write_diff(machine.memory(), dirty, dir.file("diff")).ok());
        REQUIRE(merge_diff(dir.file("base"), dir.file("diff")).ok());
      } else {
        REQUIRE(write_diff(machine.memory(), dirty, dir.file("base")).ok());
      }
      REQUIRE(file_bytes(dir.file("base")) == file_bytes(dir.file("full")));
      REQUIRE(file_bytes(dir.file("full")) == GuestView(machine.memory()).image());
      if (random() % 3 == 0) {
        machine.restore_from(dir.file("full"));
      }
    }
  }
}

}  // namespace
}  // namespace wisp
