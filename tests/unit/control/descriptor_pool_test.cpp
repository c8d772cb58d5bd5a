#include "vmm/control/descriptor_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "vmm/control/load_overrides.h"

namespace wisp {
namespace {

using Catch::Matchers::Contains;

Fd open_null() {
  return Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

ReceivedDescriptors received(std::size_t count) {
  auto list = std::make_shared<std::vector<Fd>>();
  for (std::size_t index = 0; index < count; ++index) {
    list->push_back(open_null());
  }
  return list;
}

HostResource at(const char* path) {
  HostResource resource;
  resource.path = path;
  return resource;
}

HostResource first() {
  HostResource resource;
  resource.descriptor = DescriptorRef(0U);
  return resource;
}

struct Load {
  FullConfig config;
  SnapshotLoadConfig load;
  InheritedDescriptors inherited;

  Load() {
    config.drives.resize(1);
    config.drives[0].drive_id = "d";
    config.drives[0].path_on_host = "/no/disk";
    config.pmem.resize(1);
    config.pmem[0].id = "p";
    config.pmem[0].path_on_host = "/no/pmem";
    config.vsock.emplace().uds_path = "/no/vsock";
    load.drive_overrides = {{"d", at("/new/disk")}};
    load.pmem_overrides = {{"p", at("/new/pmem")}};
    load.vsock_override = at("/new/vsock");
  }
  Result<GivenResources> apply(std::size_t count = 0) {
    DescriptorPool pool(received(count), inherited);
    return apply_overrides(config, load, pool);
  }
  std::string refusal(std::size_t count = 0) {
    auto result = apply(count);
    return result.ok() ? "accepted" : result.error().text();
  }
};

TEST_CASE("Each received descriptor can be taken once, by its index") {
  InheritedDescriptors inherited;
  DescriptorPool pool(received(2), inherited);
  CHECK(pool.take(DescriptorRef(1U), "x").value().valid());
  CHECK_THAT(pool.take(DescriptorRef(1U), "drive 'x'").error().text(),
             Contains("drive 'x': descriptor 1 is named twice"));
  CHECK_THAT(pool.take(DescriptorRef(2U), "x").error().text(), Contains("descriptor 2 is not there, 2 came"));
  CHECK(pool.take(DescriptorRef(0U), "x").ok());
}

TEST_CASE("A request without descriptors has none to take") {
  InheritedDescriptors inherited;
  DescriptorPool pool(nullptr, inherited);
  CHECK_THAT(pool.take(DescriptorRef(0U), "x").error().text(), Contains("0 came with the request"));
}

TEST_CASE("An inherited descriptor goes to the first one that names it, and no other request finds it") {
  InheritedDescriptors inherited;
  inherited.emplace("disk", open_null());
  CHECK(DescriptorPool(nullptr, inherited).take(DescriptorRef("disk"), "x").ok());
  const auto again = DescriptorPool(nullptr, inherited).take(DescriptorRef("disk"), "x");
  CHECK_THAT(again.error().text(), Contains("--inherit-fd disk=N"));
}

TEST_CASE("Overrides by path replace the captured paths") {
  Load load;
  REQUIRE(load.apply().ok());
  CHECK(load.config.drives[0].path_on_host == "/new/disk");
  CHECK(load.config.pmem[0].path_on_host == "/new/pmem");
  CHECK(load.config.vsock->uds_path == "/new/vsock");
}

TEST_CASE("An id that the snapshot does not have, or that is there twice, is refused") {
  Load load;
  load.load.drive_overrides.push_back({"e", at("/x")});
  CHECK(load.refusal() == "Unknown Drive. (id 'e')");
  load.load.drive_overrides[1].id = "d";
  CHECK_THAT(load.refusal(), Contains("drive 'd' stands twice in drive_overrides"));
}

TEST_CASE("With recorded paths refused, every device must be named") {
  Load load;
  load.load.recorded_paths = RecordedPaths::Refuse;
  CHECK(load.apply().ok());
  Load without;
  without.load.recorded_paths = RecordedPaths::Refuse;
  without.load.pmem_overrides.clear();
  CHECK_THAT(without.refusal(), Contains("pmem 'p' is not in pmem_overrides") && Contains("'/no/pmem'"));
  without.load.recorded_paths = RecordedPaths::Open;
  CHECK(without.apply().ok());
}

TEST_CASE("What was captured without a path needs an override, whatever is allowed") {
  Load load;
  load.config.drives[0].path_on_host = kNoPath;
  CHECK(load.apply().ok());
  load.config.drives[0].path_on_host = kNoPath;
  load.load.drive_overrides.clear();
  CHECK_THAT(load.refusal(), Contains("drive 'd' was given as a descriptor when it was captured"));
}

TEST_CASE("A descriptor of the wrong kind is refused by the name of its device") {
  Load load;
  load.load.drive_overrides = {{"d", first()}};
  CHECK_THAT(load.refusal(1), Contains("drive 'd': the drive file 'descriptor 0' is a character device"));
  load.load.drive_overrides = {{"d", at("/x")}};
  load.load.vsock_override = first();
  CHECK_THAT(load.refusal(1), Contains("not a listening Unix stream socket"));
}

TEST_CASE("Overrides of what the machine does not have are refused") {
  Load load;
  load.config.vsock.reset();
  CHECK(load.refusal() == "Unknown Vsock Device.");
  Load other;
  other.load.metadata_override = at("/x");
  CHECK_THAT(other.refusal(), Contains("Unknown Metadata Store"));
}

}  // namespace
}  // namespace wisp
