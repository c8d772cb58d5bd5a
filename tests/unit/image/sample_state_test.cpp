// The file that format_page.py reads with the program of docs/snapshot-format.md.
#include <cstdlib>

#include "snapshot/image/state_file.h"
#include "snapshot/image/state_file_writer.h"
#include "tests/unit/image/image_rig.h"

namespace wisp {
namespace {

TEST_CASE("A sample for readers in other languages", "[.]") {
  const char* path = std::getenv("WISP_SAMPLE_STATE");
  REQUIRE(path != nullptr);
  StateFileWriter writer;
  writer.add_section("vm", std::vector<std::byte>(7, std::byte{1}));
  writer.add_section("vcpu/0", std::vector<std::byte>(1000, std::byte{2}));
  writer.add_section("empty", {});
  AtomicFile out = AtomicFile::create(kStateFile, path).value();
  REQUIRE(writer.publish(R"({"sample":true})", out).ok());
  CHECK(StateFile::open(path).ok());
}

}  // namespace
}  // namespace wisp
