#include "virtio/vsock/stream.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>

#include "virtio/vsock/listener.h"

using namespace wisp;

// Of a listener in the abstract namespace, given as a descriptor.
TEST_CASE("vsock: without a path a guest's connection goes nowhere, not into the working directory") {
  std::string folder = "/tmp/wisp-unit-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  {
    const auto listener = VsockListener::bind("_52");
    REQUIRE(listener.ok());
    CHECK_FALSE(VsockStream::connect("", 52).valid());
    CHECK(errno == ENOENT);
    const auto derived = VsockListener::bind("v_52");
    REQUIRE(derived.ok());
    CHECK(VsockStream::connect("v", 52).valid());
  }
  std::filesystem::current_path(before);
  std::filesystem::remove_all(folder);
}
