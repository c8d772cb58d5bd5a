#include "api/config_file.h"

#include <catch2/catch.hpp>
#include <string>

#include "api/codec_reply.h"

using namespace wisp;

namespace {

const std::string boot_section = R"("boot-source":{"kernel_image_path":"/k","boot_args":"x"})";
const std::string drives_section =
    R"("drives":[{"drive_id":"a","is_root_device":true,"path_on_host":"/a"},)"
    R"({"drive_id":"b","is_root_device":false,"path_on_host":"/b","is_read_only":true}])";

std::string file_with(const std::string& more) {
  return "{" + boot_section + ",\"drives\":[]" + more + "}";
}

std::string refusal(const std::string& text) {
  const auto file = parse_config_file(text);
  return file.ok() ? "accepted" : file.error().text();
}

}  // namespace

TEST_CASE("All sections become commands in the order in which they must be carried out") {
  const auto file = parse_config_file("{" + drives_section + "," + boot_section +
                                      R"(,"machine-config":{"vcpu_count":2,"mem_size_mib":64},)"
                                      R"("metrics":{"metrics_path":"/m"},"logger":{"level":"Debug"},"whatever":1})");

  REQUIRE(file.ok());
  const auto& commands = file.value().commands;
  REQUIRE(commands.size() == 6);
  CHECK(std::get<PutLogger>(commands[0]).config.level == LogLevel::Debug);
  CHECK(std::get<PutMetrics>(commands[1]).config.metrics_path == "/m");
  CHECK(std::get<PutMachineConfig>(commands[2]).config.memory_mib == 64);
  CHECK(std::get<PutBootSource>(commands[3]).config.boot_args == "x");
  CHECK(std::get<PutDrive>(commands[4]).config.drive_id == "a");
  CHECK(std::get<PutDrive>(commands[5]).config.is_read_only);
}

TEST_CASE("Null sections are absent, and a serial section is none of the file's") {
  const std::string sections =
      GENERATE(R"(,"logger":null,"metrics":null,"machine-config":null,"cpu-config":null,"balloon":null)",
               R"(,"network-interfaces":[],"pmem":[],"vsock":null,"entropy":null,"mmds-config":null)",
               R"(,"memory-hotplug":null,"serial":{"serial_out_path":"/s"})");

  const auto file = parse_config_file(file_with(sections));

  REQUIRE(file.ok());
  CHECK(file.value().commands.size() == 1);
}

TEST_CASE("A wrong file is refused by a text that names the section") {
  const auto [text, part] = GENERATE(table<std::string, std::string>({
      {"", "EOF while parsing"},
      {"[]", "one JSON object"},
      {"{}", "missing section `boot-source`"},
      {"{\"drives\":[]}", "missing section `boot-source`"},
      {"{" + boot_section + "}", "missing section `drives`"},
      {"{" + boot_section + ",\"drives\":null}", "`drives`"},
      {file_with(R"(,"machine-config":{"vcpu_count":1,"mem_size_mib":24,"x":1})"),
       "`machine-config`: unknown field `x`"},
      {file_with(R"(,"logger":{"level":"Loud"})"), "`logger`: unknown variant"},
      {file_with(R"(,"network-interfaces":null)"), "`network-interfaces`"},
      {file_with(R"(,"logger":null,"logger":null)"), "duplicate field `logger`"},
      {"{" + boot_section + R"(,"drives":[{"drive_id":"a-b","is_root_device":true,"path_on_host":"/a"}]})",
       "`drives`: API"},
  }));
  CAPTURE(text);

  const std::string why = refusal(text);

  CAPTURE(why);
  CHECK(why.find(part) != std::string::npos);
}

TEST_CASE("A section that wisp cannot do yet is refused by name") {
  const auto [name, value] = GENERATE(table<std::string, std::string>({{"balloon", "{\"amount_mib\":1}"},
                                                                       {"cpu-config", "{}"},
                                                                       {"entropy", "{}"},
                                                                       {"network-interfaces", "[{}]"},
                                                                       {"pmem", "[{}]"},
                                                                       {"vsock", "{}"},
                                                                       {"mmds-config", "{}"},
                                                                       {"memory-hotplug", "{}"}}));

  CHECK(refusal(file_with(",\"" + name + "\":" + value)) ==
        "The section `" + name + "` of the configuration file is not supported yet by wisp 0.1.0.");
}

TEST_CASE("What GET /vm/config answers is a configuration file with the same contents") {
  FullConfig config;
  config.machine = {3, 77, false, true, HugePages::None};
  config.boot_source = BootSource{"/k", "/i", std::nullopt};
  config.drives = {{"a", "/a", true, true, "p", CacheType::Writeback, IoEngine::Async}};

  const auto file = parse_config_file(api::reply_body(Reply(config)));

  REQUIRE(file.ok());
  const auto& commands = file.value().commands;
  REQUIRE(commands.size() == 3);
  FullConfig again;
  again.machine = std::get<PutMachineConfig>(commands[0]).config;
  again.boot_source = std::get<PutBootSource>(commands[1]).config;
  again.drives = {std::get<PutDrive>(commands[2]).config};
  CHECK(api::reply_body(Reply(again)) == api::reply_body(Reply(config)));
}
