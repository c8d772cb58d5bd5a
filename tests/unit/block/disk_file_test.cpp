#include <catch2/catch.hpp>

#include <sys/stat.h>

#include "tests/unit/block/block_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

DriveConfig config_of(const std::string& path) {
  DriveConfig config;
  config.drive_id = "disk";
  config.path_on_host = path;
  return config;
}

}  // namespace

TEST_CASE("a file's capacity is its whole sectors") {
  const TempFile file(4096);
  const auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  CHECK(disk.value().sector_count() == 8);
  CHECK(disk.value().access() == Access::ReadWrite);
}

TEST_CASE("a rest that is not a sector is invisible") {
  const auto size = GENERATE(0U, 1U, 511U);
  const TempFile file(1024 + size);
  const auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  CHECK(disk.value().sector_count() == 2);
}

TEST_CASE("an empty file and one shorter than a sector are disks of no sectors") {
  const TempFile file(GENERATE(0U, 511U));
  const auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  CHECK(disk.value().sector_count() == 0);
}

TEST_CASE("the identification is device, rdev and inode in decimal") {
  const TempFile file(512);
  struct stat status {};
  REQUIRE(::stat(file.path().c_str(), &status) == 0);
  std::string expected = std::to_string(status.st_dev) + std::to_string(status.st_rdev) + std::to_string(status.st_ino);
  expected.resize(20, '\0');
  const auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  std::string id;
  for (const std::byte letter : disk.value().device_id()) {
    id += static_cast<char>(letter);
  }
  CHECK(id == expected);
}

TEST_CASE("what is no disk is refused with its path and its kind") {
  const auto missing = DiskFile::open(config_of("/nonexistent/disk"));
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().text().find("/nonexistent/disk") != std::string::npos);
  CHECK(missing.error().sys_errno() == ENOENT);
  CHECK_FALSE(DiskFile::open(config_of("/tmp")).ok());
}

TEST_CASE("a device without a size is a disk of no sectors") {
  const auto disk = DiskFile::open(config_of("/dev/null"));
  REQUIRE(disk.ok());
  CHECK(disk.value().sector_count() == 0);
}

TEST_CASE("a read-only drive opens a file that cannot be written") {
  const TempFile file(512);
  DriveConfig config = config_of(file.path());
  config.is_read_only = true;
  const auto disk = DiskFile::open(config);
  REQUIRE(disk.ok());
  CHECK(disk.value().access() == Access::ReadOnly);
  CHECK(::pwrite(disk.value().ref().raw(), "x", 1, 0) == -1);
}

TEST_CASE("an open disk blocks instead of failing with EAGAIN") {
  const TempFile file(512);
  const auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  CHECK((::fcntl(disk.value().ref().raw(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a moved disk file keeps its descriptor") {
  const TempFile file(512);
  auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  const int descriptor = disk.value().ref().raw();
  const DiskFile moved = std::move(disk).value();
  CHECK(moved.ref().raw() == descriptor);
}

TEST_CASE("a disk image that says it is of another format stays raw") {
  const TempFile file(4096);
  file.put(0, 4, 'Q');
  const auto disk = DiskFile::open(config_of(file.path()));
  REQUIRE(disk.ok());
  CHECK(disk.value().sector_count() == 8);
}
