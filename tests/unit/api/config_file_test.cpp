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

TEST_CASE("Sections become commands in an order that suits what they name") {
  const auto file = parse_config_file(
      file_with(R"(,"mmds-config":{"network_interfaces":["e"]},"balloon":{"amount_mib":1,"deflate_on_oom":true},)"
                R"("entropy":{},"vsock":{"guest_cid":3,"uds_path":"/v"},"memory-hotplug":{"total_size_mib":128},)"
                R"("network-interfaces":[{"iface_id":"e","host_dev_name":"t"}],)"
                R"("pmem":[{"id":"p","path_on_host":"/p"}],"cpu-config":{})"));

  REQUIRE(file.ok());
  std::vector<std::size_t> kinds;
  for (const Command& command : file.value().commands) {
    kinds.push_back(command.index());
  }
  const std::vector<Command> expected = {PutCpuConfig{}, PutBootSource{},    PutNetworkInterface{},
                                         PutPmem{},      PutVsock{},         PutBalloon{},
                                         PutEntropy{},   PutMemoryHotplug{}, PutMmdsConfig{}};
  std::vector<std::size_t> expected_kinds;
  for (const Command& command : expected) {
    expected_kinds.push_back(command.index());
  }
  std::erase(kinds, Command(PutDrive{}).index());
  CHECK(kinds == expected_kinds);
}

TEST_CASE("What GET /vm/config answers is a configuration file with the same contents") {
  FullConfig config;
  config.machine = {3, 77, false, true, HugePages::None, CpuTemplate::T2S};
  config.boot_source = BootSource{"/k", "/i", std::nullopt};
  config.drives = {{"a", "/a", true, true, "p", CacheType::Writeback, IoEngine::Async}};
  config.drives[0].limits.ops = TokenBucketConfig{10, 100, 5};
  config.network_interfaces = {{"e", "tap0", MacAddress{6, 0, 0, 0, 0, 0xab}, 1400}};
  config.pmem = {{"pm", "/p", false, true}};
  config.vsock = VsockConfig{7, "/v", std::nullopt};
  config.balloon = BalloonConfig{5, true, 3, true, true};
  config.entropy = EntropyConfig{};
  config.memory_hotplug = MemoryHotplugConfig{256, 4, 128};
  config.mmds = MmdsConfig{MmdsVersion::V2, {"e"}, Ipv4Address{169, 254, 170, 2}, true};
  const std::string before = api::reply_body(Reply(config));

  const auto file = parse_config_file(before);

  REQUIRE(file.ok());
  FullConfig again;
  for (const Command& command : file.value().commands) {
    std::visit(
        [&](const auto& each) {
          using Message = std::decay_t<decltype(each)>;
          if constexpr (std::is_same_v<Message, PutMachineConfig>) {
            again.machine = each.config;
          } else if constexpr (std::is_same_v<Message, PutBootSource>) {
            again.boot_source = each.config;
          } else if constexpr (std::is_same_v<Message, PutDrive>) {
            again.drives.push_back(each.config);
          } else if constexpr (std::is_same_v<Message, PutNetworkInterface>) {
            again.network_interfaces.push_back(each.config);
          } else if constexpr (std::is_same_v<Message, PutPmem>) {
            again.pmem.push_back(each.config);
          } else if constexpr (std::is_same_v<Message, PutVsock>) {
            again.vsock = each.config;
          } else if constexpr (std::is_same_v<Message, PutBalloon>) {
            again.balloon = each.config;
          } else if constexpr (std::is_same_v<Message, PutEntropy>) {
            again.entropy = each.config;
          } else if constexpr (std::is_same_v<Message, PutMemoryHotplug>) {
            again.memory_hotplug = each.config;
          } else if constexpr (std::is_same_v<Message, PutMmdsConfig>) {
            again.mmds = each.config;
          }
        },
        command);
  }
  CHECK(api::reply_body(Reply(again)) == before);
}
