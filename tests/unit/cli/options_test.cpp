#include "vmm/cli/options.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/cli/words.h"

namespace wisp {
namespace {

int exit_code_for(std::initializer_list<const char*> words) {
  const Words line(words);
  const OptionsResult result = parse_options(line.view());
  return result.ok() ? 0 : to_int(result.error().code);
}

}  // namespace

TEST_CASE("no arguments give the documented defaults") {
  const Words line({});
  OptionsResult result = parse_options(line.view());
  REQUIRE(result.ok());
  const Options options = std::move(result).value();
  CHECK(options.api_socket == "/run/firecracker.socket");
  CHECK(options.instance_id == "anonymous-instance");
  CHECK(options.max_payload_bytes == 51200);
  CHECK(options.api == ApiUse::On);
}

TEST_CASE("malformed command lines exit with 153") {
  CHECK(exit_code_for({"--nope"}) == 153);
  CHECK(exit_code_for({"word"}) == 153);
  CHECK(exit_code_for({"--api-sock"}) == 153);
  CHECK(exit_code_for({"--api-sock", "--no-seccomp"}) == 153);
  CHECK(exit_code_for({"--api-sock=/x"}) == 153);
  CHECK(exit_code_for({"--id", "a", "--id", "a"}) == 153);
  CHECK(exit_code_for({"--no-api"}) == 153);
  CHECK(exit_code_for({"--no-seccomp", "--seccomp-filter", "x"}) == 153);
  CHECK(exit_code_for({"--show-level", "true"}) == 153);
}

TEST_CASE("words after a double dash are not arguments") {
  CHECK(exit_code_for({"--", "--nope", "x"}) == 0);
}

TEST_CASE("log levels are known in any case, others exit with 152") {
  CHECK(exit_code_for({"--level", "wArNiNg"}) == 0);
  CHECK(exit_code_for({"--level", "3"}) == 152);
  CHECK(exit_code_for({"--level", ""}) == 152);
}

TEST_CASE("instance ids are 1 to 64 letters, digits and dashes") {
  CHECK(exit_code_for({"--id", "my-vm-7"}) == 0);
  CHECK(exit_code_for({"--id", std::string(64, 'a').c_str()}) == 0);
  CHECK(exit_code_for({"--id", std::string(65, 'a').c_str()}) == 1);
  CHECK(exit_code_for({"--id", ""}) == 1);
  CHECK(exit_code_for({"--id", "a_b"}) == 1);
}

TEST_CASE("numbers are decimal and fit 64 bits") {
  CHECK(exit_code_for({"--http-api-max-payload-size", "18446744073709551615"}) == 0);
  CHECK(exit_code_for({"--http-api-max-payload-size", "18446744073709551616"}) == 1);
  CHECK(exit_code_for({"--http-api-max-payload-size", "-1"}) == 1);
  CHECK(exit_code_for({"--http-api-max-payload-size", "1.5"}) == 1);
  CHECK(exit_code_for({"--http-api-max-payload-size", ""}) == 1);
  CHECK(exit_code_for({"--start-time-us", "0x10"}) == 1);
  CHECK(exit_code_for({"--start-time-us", " 1"}) == 1);
  CHECK(exit_code_for({"--start-time-us", "+1"}) == 0);
  CHECK(exit_code_for({"--start-time-us", "+"}) == 1);
}

TEST_CASE("arguments of features that do not exist yet are refused by name") {
  const Words line({"--enable-pci"});
  const OptionsResult result = parse_options(line.view());
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().text.find("--enable-pci is not supported yet") != std::string::npos);
}

TEST_CASE("help and version count wherever they stand, but not after a double dash") {
  CHECK(early_answer(Words({"--id", "!!", "--help"}).view()).has_value());
  CHECK(early_answer(Words({"-h"}).view()).has_value());
  CHECK(early_answer(Words({"--version"}).view())->starts_with("wisp v"));
  CHECK_FALSE(early_answer(Words({"--", "--help"}).view()).has_value());
}

TEST_CASE("called firecracker, the version is the one that clients of Firecracker compare") {
  CHECK(early_answer(Words({"--version"}).view(), "/opt/bin/firecracker") == "Firecracker v1.17.0\n\n");
  CHECK(early_answer(Words({"--version"}).view(), "firecracker") == "Firecracker v1.17.0\n\n");
  CHECK(early_answer(Words({"--version"}).view(), "/firecracker/wisp")->starts_with("wisp v"));
}

}  // namespace wisp
