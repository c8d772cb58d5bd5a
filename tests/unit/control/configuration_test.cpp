#include "vmm/control/configuration.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace wisp {
namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() { path_ = ::mkdtemp(name_.data()); }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string file(const std::string& name, std::size_t size_bytes = 4096) const {
    std::ofstream(path(name)) << std::string(size_bytes, 'x');
    return path(name);
  }

 private:
  std::string name_ = "/tmp/wisp-unit-XXXXXX";
  std::string path_;
};

DriveConfig drive(const std::string& id, const std::string& path) {
  DriveConfig config;
  config.drive_id = id;
  config.path_on_host = path;
  return config;
}

DriveConfig root_drive(const std::string& id, const std::string& path) {
  DriveConfig config = drive(id, path);
  config.is_root_device = true;
  return config;
}

MachineConfig machine(std::uint8_t vcpus, std::uint64_t memory_mib) {
  MachineConfig config;
  config.vcpu_count = vcpus;
  config.memory_mib = memory_mib;
  return config;
}

}  // namespace

TEST_CASE("machine sizes at the limits are accepted") {
  Configuration configuration;
  CHECK(configuration.set_machine(machine(1, 1)).ok());
  CHECK(configuration.set_machine(machine(32, kMaxMemoryMib)).ok());
}

TEST_CASE("machine sizes beyond the limits are refused and change nothing") {
  const auto [vcpus, memory_mib] = GENERATE(
      table<int, std::uint64_t>({{0, 128}, {33, 128}, {255, 128}, {1, 0}, {1, kMaxMemoryMib + 1}, {1, ~0ULL}}));
  Configuration configuration;
  REQUIRE(configuration.set_machine(machine(2, 256)).ok());

  const Status status = configuration.set_machine(machine(static_cast<std::uint8_t>(vcpus), memory_mib));

  CHECK_FALSE(status.ok());
  CHECK(configuration.machine().vcpu_count == 2);
  CHECK(configuration.machine().memory_mib == 256);
}

TEST_CASE("SMT needs one vCPU or an even number") {
  Configuration configuration;
  MachineConfig config = machine(3, 128);
  config.smt = true;
  CHECK_FALSE(configuration.set_machine(config).ok());
  config.vcpu_count = 4;
  CHECK(configuration.set_machine(config).ok());
}

TEST_CASE("huge pages need an even number of MiB, also by PATCH") {
  Configuration configuration;
  REQUIRE(configuration.set_machine(machine(1, 129)).ok());
  MachineConfigPatch patch;
  patch.huge_pages = HugePages::Pages2M;
  CHECK_FALSE(configuration.patch_machine(patch).ok());
  CHECK(configuration.machine().huge_pages == HugePages::None);
}

TEST_CASE("a PATCH changes only what it names") {
  Configuration configuration;
  REQUIRE(configuration.set_machine(machine(2, 256)).ok());
  MachineConfigPatch patch;
  patch.memory_mib = 512;
  REQUIRE(configuration.patch_machine(patch).ok());
  CHECK(configuration.machine().vcpu_count == 2);
  CHECK(configuration.machine().memory_mib == 512);
}

TEST_CASE("a boot source names existing regular files") {
  const TemporaryDirectory directory;
  Configuration configuration;
  BootSource source;
  source.kernel_image_path = directory.file("kernel");
  source.initrd_path = directory.file("initrd");
  REQUIRE(configuration.set_boot_source(source).ok());
  CHECK(configuration.boot()->initrd.has_value());
}

TEST_CASE("a bad kernel path is refused at once, named, and the earlier boot source stays") {
  const TemporaryDirectory directory;
  ::mkfifo(directory.path("fifo").c_str(), 0600);
  const std::string bad = GENERATE(as<std::string>(), "missing", "fifo");
  Configuration configuration;
  BootSource good;
  good.kernel_image_path = directory.file("kernel");
  REQUIRE(configuration.set_boot_source(good).ok());
  BootSource source;
  source.kernel_image_path = directory.path(bad);

  const Status status = configuration.set_boot_source(source);

  REQUIRE_FALSE(status.ok());
  CHECK(status.error().text().find(source.kernel_image_path) != std::string::npos);
  CHECK(configuration.boot()->source.kernel_image_path == good.kernel_image_path);
}

TEST_CASE("boot_args with a NUL or without room are refused") {
  const TemporaryDirectory directory;
  Configuration configuration;
  BootSource source;
  source.kernel_image_path = directory.file("kernel");
  source.boot_args = std::string("a\0b", 3);
  CHECK_FALSE(configuration.set_boot_source(source).ok());
  source.boot_args = std::string(kMaxCommandLineBytes, 'a');
  CHECK_FALSE(configuration.set_boot_source(source).ok());
  source.boot_args = std::string(kMaxCommandLineBytes - 1, 'a');
  CHECK(configuration.set_boot_source(source).ok());
}

TEST_CASE("the root drive comes first, the others keep the order of their PUT") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("disk");
  Configuration configuration;
  REQUIRE(configuration.set_drive(drive("b", path)).ok());
  REQUIRE(configuration.set_drive(root_drive("root", path)).ok());
  REQUIRE(configuration.set_drive(drive("a", path)).ok());
  CHECK(configuration.drives()[0].config.drive_id == "root");
  CHECK(configuration.drives()[1].config.drive_id == "b");
  CHECK(configuration.drives()[2].config.drive_id == "a");
}

TEST_CASE("a second root drive is refused, replacing the first is not") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("disk");
  Configuration configuration;
  REQUIRE(configuration.set_drive(root_drive("root", path)).ok());
  CHECK_FALSE(configuration.set_drive(root_drive("other", path)).ok());
  CHECK(configuration.drives().size() == 1);
  CHECK(configuration.set_drive(root_drive("root", path)).ok());
  CHECK(configuration.drives().size() == 1);
}

TEST_CASE("a refused replacement leaves the drive as it was") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("disk");
  Configuration configuration;
  REQUIRE(configuration.set_drive(drive("d", path)).ok());
  CHECK_FALSE(configuration.set_drive(drive("d", directory.path("missing"))).ok());
  CHECK(configuration.drives()[0].config.path_on_host == path);
}

TEST_CASE("a vhost-user drive opens nothing, and replaces a file or is replaced by one") {
  const TemporaryDirectory directory;
  Configuration configuration;
  DriveConfig vhost = drive("d", "");
  vhost.socket = directory.path("nobody-listens");
  REQUIRE(configuration.set_drive(drive("d", directory.file("disk"))).ok());
  REQUIRE(configuration.set_drive(vhost).ok());
  REQUIRE(configuration.drives().size() == 1);
  CHECK_FALSE(configuration.drives()[0].disk.has_value());
  CHECK(configuration.drives()[0].config.socket == vhost.socket);
  REQUIRE(configuration.set_drive(drive("d", directory.file("disk"))).ok());
  CHECK(configuration.drives()[0].disk.has_value());
  CHECK_FALSE(configuration.drives()[0].config.socket.has_value());
}

TEST_CASE("a vhost-user socket's path has 1 to 107 bytes") {
  Configuration configuration;
  DriveConfig vhost = drive("d", "");
  for (const std::size_t length : {std::size_t{0}, std::size_t{108}}) {
    vhost.socket = std::string(length, 'x');
    const Status refused = configuration.set_drive(vhost);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().text().find("Unable to create the virtio block device: socket: the path") == 0);
  }
  CHECK(configuration.drives().empty());
  for (const std::size_t length : {std::size_t{1}, std::size_t{107}}) {
    vhost.socket = std::string(length, 'x');
    CHECK(configuration.set_drive(vhost).ok());
  }
}

TEST_CASE("a FIFO or a directory is no drive") {
  const TemporaryDirectory directory;
  ::mkfifo(directory.path("fifo").c_str(), 0600);
  Configuration configuration;
  DriveConfig read_only = drive("d", directory.path("fifo"));
  read_only.is_read_only = true;
  CHECK_FALSE(configuration.set_drive(read_only).ok());
  read_only.path_on_host = directory.path(".");
  CHECK_FALSE(configuration.set_drive(read_only).ok());
  CHECK(configuration.drives().empty());
}

}  // namespace wisp
