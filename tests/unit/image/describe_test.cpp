#include "snapshot/image/describe.h"

#include "snapshot/image/state_file_writer.h"
#include "tests/unit/image/image_rig.h"

namespace wisp {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("A description has the versions, the sections with their lengths and the manifest, indented") {
  const image_rig::TempDir dir;
  StateFileWriter writer;
  writer.add_section("vcpu/0", std::vector<std::byte>(321));
  AtomicFile out = AtomicFile::create(kStateFile, dir.file("state")).value();
  REQUIRE(writer.publish(R"({"memory":{"regions":[1,2]},"name":"a{,b"})", out).ok());

  const auto text = describe_snapshot(dir.file("state"));

  REQUIRE(text.ok());
  CHECK_THAT(text.value(), Contains("v1.1.0") && Contains("wisp 0.") && Contains("  vcpu/0: 321 bytes\n"));
  CHECK_THAT(text.value(), Contains("{\n  \"memory\": {\n    \"regions\": [\n      1,\n      2\n    ]\n  },\n"
                                    "  \"name\": \"a{,b\"\n}"));
}

TEST_CASE("A file that load refuses is refused with the same words") {
  const image_rig::TempDir dir;
  image_rig::put_file(dir.file("state"), std::string(500, 'x'));
  const auto text = describe_snapshot(dir.file("state"));
  REQUIRE_FALSE(text.ok());
  CHECK_THAT(text.error().text(), Contains("Magic value does not match arch"));
}

TEST_CASE("Empty containers, escapes, nonsense and terminal commands come out harmless") {
  CHECK(indent_json("{}") == "{}");
  CHECK(indent_json("[ ]") == "[]");
  CHECK(indent_json(R"({"a":[],"b":"x\"]"})") == "{\n  \"a\": [],\n  \"b\": \"x\\\"]\"\n}");
  CHECK(indent_json("]]}") == "\n]\n]\n}");
  CHECK(indent_json("\"\x1b[2J\xff\n") == "\"\\x1b[2J\\xff\\x0a");
  const std::string deep = indent_json(std::string(100'000, '['));
  CHECK(deep.size() < 100'000 * 45);
}

}  // namespace
}  // namespace wisp
