#include "vmm/control/config_state.h"

#include <catch2/catch.hpp>
#include <utility>

namespace wisp {
namespace {

Result<FullConfig> saved_and_restored(const FullConfig& config) {
  StateWriter out;
  save_config(config, out);
  const std::vector<std::byte> bytes = std::move(out).take();
  StateReader in("config", bytes);
  return restore_config(in);
}

DriveConfig drive(const std::string& id, const std::string& path) {
  DriveConfig config;
  config.drive_id = id;
  config.path_on_host = path;
  return config;
}

NetConfig net(const std::string& id) {
  NetConfig config;
  config.iface_id = id;
  config.host_dev_name = "tap0";
  return config;
}

PmemConfig pmem(const std::string& id) {
  PmemConfig config;
  config.id = id;
  config.path_on_host = "/pmem";
  return config;
}

}  // namespace

TEST_CASE("a configuration whose devices share ids across kinds only is restored") {
  FullConfig config;
  config.drives = {drive("a", "/one"), drive("b", "/two")};
  config.network_interfaces = {net("a"), net("b")};
  config.pmem = {pmem("a"), pmem("b")};
  const auto restored = saved_and_restored(config);
  REQUIRE(restored.ok());
  CHECK(restored.value().drives[1].path_on_host == "/two");
  CHECK(restored.value().network_interfaces.size() == 2);
  CHECK(restored.value().pmem.size() == 2);
}

// An override names an id: the second device of that id would come after it, with its recorded path.
TEST_CASE("two devices of a kind with the same id are refused") {
  FullConfig drives;
  drives.drives = {drive("a", "/one"), drive("b", "/two"), drive("a", "/three")};
  FullConfig interfaces;
  interfaces.network_interfaces = {net("a"), net("a")};
  FullConfig files;
  files.pmem = {pmem("a"), pmem("a")};
  for (const FullConfig& config : {drives, interfaces, files}) {
    const auto restored = saved_and_restored(config);
    REQUIRE_FALSE(restored.ok());
    CHECK(restored.error().text().find("two devices of a kind with the same id") != std::string::npos);
  }
}

// A back end's socket is no part of the section: whatever was forged, a load connects to nobody.
TEST_CASE("the socket of a vhost-user drive is not recorded") {
  FullConfig config;
  config.drives = {drive("a", "")};
  config.drives[0].socket = "/backend.sock";
  const auto restored = saved_and_restored(config);
  REQUIRE(restored.ok());
  CHECK_FALSE(restored.value().drives[0].socket.has_value());
}

}  // namespace wisp
