// The file behind persistent memory. The tests write through the mapping as the guest would.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "tests/unit/pmem/pmem_rig.h"
#include "virtio/pmem/pmem_file.h"

namespace wisp {
struct KernelIoKeyForTests {
  static KernelIoKey make() { return KernelIoKey(); }
};
}  // namespace wisp

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kTwoMib = 2U << 20U;

/// A temporary file, removed at the end.
class BackingFile {
 public:
  explicit BackingFile(std::uint64_t size_bytes) {
    char name[] = "/tmp/wisp-pmem-XXXXXX";
    fd_ = Fd(::mkostemp(name, O_CLOEXEC));
    WISP_ASSERT(fd_.valid() && ::ftruncate(fd_.raw(), static_cast<off_t>(size_bytes)) == 0);
    path_ = name;
  }
  ~BackingFile() { ::unlink(path_.c_str()); }
  BackingFile(const BackingFile&) = delete;
  BackingFile& operator=(const BackingFile&) = delete;
  PmemConfig config(bool read_only = false) const {
    PmemConfig config;
    config.id = "data";
    config.path_on_host = path_;
    config.read_only = read_only;
    return config;
  }
  char at(std::uint64_t offset) const {
    char value = 0;
    WISP_ASSERT(::pread(fd_.raw(), &value, 1, static_cast<off_t>(offset)) == 1);
    return value;
  }
  void truncate(std::uint64_t size_bytes) const {
    WISP_ASSERT(::ftruncate(fd_.raw(), static_cast<off_t>(size_bytes)) == 0);
  }
  std::uint64_t size_bytes() const {
    struct stat status {};
    WISP_ASSERT(::fstat(fd_.raw(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  Fd fd_;
  std::string path_;
};

char* host_of(const PmemFile& file) {
  return static_cast<char*>(file.lend_iovec(KernelIoKeyForTests::make()).iov_base);
}

/// The "rw-s" of the mapping that holds `address`.
std::string permissions_at(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char permissions[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, permissions) == 3 && wanted >= begin && wanted < end) {
      return permissions;
    }
  }
  return "";
}

}  // namespace

TEST_CASE("a file of whole blocks is mapped as it is, shared and aligned") {
  const BackingFile backing(2 * kTwoMib);
  auto file = PmemFile::open(backing.config());
  REQUIRE(file.ok());
  CHECK(file.value().size_bytes() == 2 * kTwoMib);
  CHECK(file.value().file_size_bytes() == 2 * kTwoMib);
  CHECK(file.value().lend_iovec(KernelIoKeyForTests::make()).iov_len == 2 * kTwoMib);
  char* const host = host_of(file.value());
  CHECK(reinterpret_cast<std::uintptr_t>(host) % kTwoMib == 0);
  CHECK(permissions_at(host) == "rw-s");
  host[2 * kTwoMib - 1] = 'x';
  CHECK(file.value().sync() == 0);
  CHECK(backing.at(2 * kTwoMib - 1) == 'x');
}

TEST_CASE("behind the end of the file is private memory that does not make the file grow") {
  const BackingFile backing(kTwoMib + 5000);
  auto file = PmemFile::open(backing.config());
  REQUIRE(file.ok());
  CHECK(file.value().size_bytes() == 2 * kTwoMib);
  CHECK(file.value().file_size_bytes() == kTwoMib + 5000);
  char* const host = host_of(file.value());
  CHECK(permissions_at(host + kTwoMib + 4096) == "rw-s");
  CHECK(permissions_at(host + kTwoMib + 8192) == "rw-p");
  host[2 * kTwoMib - 1] = 'x';
  host[kTwoMib + 4999] = 'y';
  CHECK(file.value().sync() == 0);
  CHECK(backing.size_bytes() == kTwoMib + 5000);
  CHECK(backing.at(kTwoMib + 4999) == 'y');
}

// P-01 (Kata CVE-2026-24834): a read-only file over which a guest could write, and have it persist. The machine makes
// the slot read-only; the mapping itself gives no write permission either.
TEST_CASE("P-01: a read-only file is mapped shared and without write permission, its tail too") {
  const BackingFile backing(kTwoMib + 1);
  auto file = PmemFile::open(backing.config(true));
  REQUIRE(file.ok());
  CHECK(file.value().access() == Access::ReadOnly);
  CHECK(permissions_at(host_of(file.value())) == "r--s");
  CHECK(permissions_at(host_of(file.value()) + 2 * kTwoMib - 1) == "r--p");
}

TEST_CASE("an empty file is refused with what to do") {
  const BackingFile backing(0);
  const auto file = PmemFile::open(backing.config());
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().text().find("is empty. Give it a size") != std::string::npos);
}

TEST_CASE("what is not a regular file is refused at once") {
  const std::string path =
      GENERATE(std::string("/tmp"), std::string("/dev/null"), std::string("/tmp/wisp-no-such-file"));
  PmemConfig config;
  config.path_on_host = path;
  config.read_only = true;
  const auto file = PmemFile::open(config);
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().text().find("pmem file '" + path + "'") != std::string::npos);
}

TEST_CASE("a FIFO is refused and does not block") {
  const std::string path = "/tmp/wisp-pmem-fifo-" + std::to_string(::getpid());
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  PmemConfig config;
  config.path_on_host = path;
  config.read_only = true;
  CHECK_FALSE(PmemFile::open(config).ok());
  ::unlink(path.c_str());
}

TEST_CASE("a moved file stays where it is mapped and is unmapped once") {
  const BackingFile backing(kTwoMib);
  auto opened = PmemFile::open(backing.config());
  REQUIRE(opened.ok());
  char* const host = host_of(opened.value());
  {
    PmemFile moved(std::move(opened).value());
    CHECK(host_of(moved) == host);
    CHECK(moved.size_bytes() == kTwoMib);
    CHECK(permissions_at(host) == "rw-s");
  }
  CHECK(permissions_at(host).empty());
}

TEST_CASE("a file that was shrunk under the mapping can still be flushed: the monitor never touches the bytes") {
  const BackingFile backing(kTwoMib);
  auto file = PmemFile::open(backing.config());
  REQUIRE(file.ok());
  backing.truncate(4096);
  CHECK(file.value().sync() == 0);
  CHECK(file.value().size_bytes() == kTwoMib);
}

TEST_CASE("a flush from the driver brings the file up to date") {
  const BackingFile backing(kTwoMib);
  auto file = PmemFile::open(backing.config());
  REQUIRE(file.ok());
  char* const host = host_of(file.value());
  PmemRig rig;
  rig.adopt(
      PmemDevice::create(backing.config(), std::move(file).value(), GuestAddress(kPmemStart), *rig.loop, rig.clock));
  rig.guest().fill(kResults, 4, 0xee);
  std::memset(host, 'z', 4096);
  rig.offer(0);
  rig.kick();
  CHECK(rig.queue.take_used() == Used{0, 4});
  CHECK(rig.result(0) == kRespOk);
  CHECK(backing.at(4095) == 'z');
  CHECK(rig.device->size_bytes() == kTwoMib);
}
