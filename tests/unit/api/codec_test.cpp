#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "api/codec_action.h"
#include "api/codec_boot.h"
#include "api/codec_drive.h"
#include "api/codec_machine.h"
#include "api/codec_observe.h"
#include "api/json_value.h"

using namespace wisp;
using namespace wisp::api;

namespace {

/// The codec's refusal of `text`; "accepted" when there is none.
template <typename T>
std::string refusal(Result<T> (*decode)(const Json&), const std::string& text) {
  const auto decoded = decode(parse_json(text).value());
  return decoded.ok() ? "accepted" : decoded.error().text();
}

template <typename T>
T accepted(Result<T> (*decode)(const Json&), const std::string& text) {
  return decode(parse_json(text).value()).value();
}

std::string machine_with(const std::string& members) {
  return R"({"vcpu_count":1,"mem_size_mib":24)" + members + "}";
}
std::string drive_with(const std::string& members) {
  return R"({"drive_id":"d","is_root_device":false,"path_on_host":"/x")" + members + "}";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("machine-config: absent members have their defaults, given ones arrive") {
  const MachineConfig least = accepted(decode_machine, machine_with("")).config;
  CHECK(least.vcpu_count == 1);
  CHECK(least.memory_mib == 24);
  CHECK_FALSE(least.smt);
  CHECK_FALSE(least.track_dirty_pages);
  CHECK(least.huge_pages == HugePages::None);

  const MachineConfig full =
      accepted(decode_machine, machine_with(R"(,"smt":true,"track_dirty_pages":true,"huge_pages":"2M")")).config;
  CHECK(full.smt);
  CHECK(full.track_dirty_pages);
  CHECK(full.huge_pages == HugePages::Pages2M);
}

TEST_CASE("machine-config: a wrong body is refused by a text that names the field") {
  const auto [body, part] = GENERATE(table<std::string, std::string>({
      {R"({"mem_size_mib":24})", "missing field `vcpu_count`"},
      {R"({"vcpu_count":1})", "missing field `mem_size_mib`"},
      {R"({"vcpu_count":null,"mem_size_mib":24})", "`vcpu_count`: invalid type: null, expected u8"},
      {R"({"vcpu_count":256,"mem_size_mib":24})", "`vcpu_count`: invalid value: integer `256`, expected u8"},
      {R"({"vcpu_count":-1,"mem_size_mib":24})", "invalid value: integer `-1`, expected u8"},
      {R"({"vcpu_count":-0,"mem_size_mib":24})", "`vcpu_count`"},
      {R"({"vcpu_count":1.0,"mem_size_mib":24})", "`vcpu_count`: invalid type: floating point"},
      {R"({"vcpu_count":"1","mem_size_mib":24})", "invalid type: string \"1\", expected u8"},
      {R"({"vcpu_count":1,"mem_size_mib":18446744073709551616})", "`mem_size_mib`"},
      {R"({"vcpu_count":1,"mem_size_mib":17592186044416})", "`mem_size_mib`: invalid value: integer `17592186044416`"},
      {R"({"vcpu_count":1,"mem_size_mib":24,"smt":null})", "`smt`: invalid type: null"},
      {R"({"vcpu_count":1,"mem_size_mib":24,"smt":1})", "`smt`: invalid type: integer `1`, expected a boolean"},
      {R"({"vcpu_count":1,"mem_size_mib":24,"huge_pages":"1G"})",
       "unknown variant `1G`, expected one of `None`, `Transparent`, `2M`"},
      {R"({"vcpu_count":1,"mem_size_mib":24,"huge_pages":"none"})", "unknown variant `none`"},
      {R"({"vcpu_count":1,"mem_size_mib":24,"cpu_template":"V1N1"})", "unknown variant `V1N1`"},
      {R"({"vcpu_count":1,"mem_size_mib":24,"x":1})", "unknown field `x`, expected one of `vcpu_count`"},
      {R"({"VCPU_COUNT":1,"mem_size_mib":24})", "missing field `vcpu_count`"},
      {R"([1,24])", "invalid type: sequence, expected an object"},
      {"null", "invalid type: null"},
      {"\"x\"", "invalid type: string"},
  }));
  CAPTURE(body);

  const std::string text = refusal(decode_machine, body);

  CAPTURE(text);
  CHECK(contains(text, part));
}

TEST_CASE("machine-config: naming a CPU template is noticed") {
  CHECK(accepted(decode_machine, machine_with("")).cpu_template == CpuTemplateField::Absent);
  CHECK(accepted(decode_machine, machine_with(R"(,"cpu_template":null)")).cpu_template == CpuTemplateField::Absent);
  CHECK(accepted(decode_machine, machine_with(R"(,"cpu_template":"None")")).cpu_template == CpuTemplateField::Given);
  CHECK(accepted(decode_machine, machine_with(R"(,"cpu_template":"T2")")).config.cpu_template == CpuTemplate::T2);
  CHECK(contains(refusal(decode_machine, machine_with(R"(,"cpu_template":"V1N1")")), "unknown variant `V1N1`"));
}

TEST_CASE("machine-config patch: null is absent, and an empty patch shows") {
  const auto body = accepted(decode_machine_patch, R"({"vcpu_count":2,"smt":null})");
  CHECK(body.patch.vcpu_count == 2);
  CHECK_FALSE(body.patch.smt.has_value());
  CHECK_FALSE(changes_nothing(body));
  CHECK(changes_nothing(accepted(decode_machine_patch, "{}")));
  CHECK(changes_nothing(accepted(decode_machine_patch, R"({"mem_size_mib":null})")));
  CHECK(contains(refusal(decode_machine_patch, R"({"mem_size_mib":17592186044416})"), "`mem_size_mib`"));
}

TEST_CASE("boot-source: absent, null and empty arguments are told apart from each other where the API does") {
  CHECK_FALSE(accepted(decode_boot_source, R"({"kernel_image_path":"/k"})").boot_args.has_value());
  CHECK_FALSE(accepted(decode_boot_source, R"({"kernel_image_path":"/k","boot_args":null})").boot_args.has_value());
  CHECK(accepted(decode_boot_source, R"({"kernel_image_path":"/k","boot_args":""})").boot_args == "");
  CHECK(accepted(decode_boot_source, R"({"kernel_image_path":"/k","initrd_path":"/i"})").initrd_path == "/i");
}

TEST_CASE("boot-source: a NUL in a path or in the arguments is refused, naming the field") {
  CHECK(contains(refusal(decode_boot_source, R"({"kernel_image_path":"a\u0000b"})"), "`kernel_image_path`"));
  CHECK(contains(refusal(decode_boot_source, R"({"kernel_image_path":"a","initrd_path":"\u0000"})"), "`initrd_path`"));
  CHECK(contains(refusal(decode_boot_source, R"({"kernel_image_path":"a","boot_args":"x\u0000y"})"), "`boot_args`"));
}

TEST_CASE("drive: members arrive; null is_read_only is false") {
  const DriveConfig drive = accepted(
      decode_drive, drive_with(R"(,"partuuid":"p","cache_type":"Writeback","is_read_only":true,"io_engine":"Async")"));
  CHECK(drive.drive_id == "d");
  CHECK(drive.path_on_host == "/x");
  CHECK(drive.partuuid == "p");
  CHECK(drive.cache_type == CacheType::Writeback);
  CHECK(drive.io_engine == IoEngine::Async);
  CHECK(drive.is_read_only);
  CHECK_FALSE(accepted(decode_drive, drive_with(R"(,"is_read_only":null)")).is_read_only);
}

TEST_CASE("drive: a limiter that limits nothing is accepted") {
  const std::string limiter =
      GENERATE("null", "{}", R"({"bandwidth":null,"ops":null})", R"({"ops":{"size":0,"refill_time":5}})",
               R"({"bandwidth":{"size":5,"refill_time":0,"one_time_burst":7,"extra":1}})");
  CAPTURE(limiter);

  CHECK(refusal(decode_drive, drive_with(R"(,"rate_limiter":)" + limiter)) == "accepted");
}

TEST_CASE("drive: what wisp cannot do and what is wrong is refused, naming the field") {
  const auto [members, part] = GENERATE(table<std::string, std::string>({
      {R"(,"rate_limiter":{"bytes":{}})", "unknown field `bytes`, expected `bandwidth` or `ops`"},
      {R"(,"rate_limiter":{"ops":{}})", "missing field `size`"},
      {R"(,"rate_limiter":[])", "invalid type: sequence"},
      {R"(,"socket":"/s")", "Drive config error: Unable to create the virtio block device: Invalid block config."},
      {R"(,"socket":5)", "invalid type"},
      {R"(,"cache_type":"unsafe")", "unknown variant `unsafe`, expected `Unsafe` or `Writeback`"},
      {R"(,"partuuid":"a\u0000b")", "`partuuid`"},
      {R"(,"not_a_field":1)", "unknown field `not_a_field`"},
  }));
  CAPTURE(members);

  const std::string text = refusal(decode_drive, drive_with(members));

  CAPTURE(text);
  CHECK(contains(text, part));
}

TEST_CASE("drive: a vhost-user back end's socket arrives, with the members that are not the back end's") {
  const DriveConfig drive = accepted(
      decode_drive, R"({"drive_id":"d","is_root_device":true,"socket":"/s","cache_type":"Writeback","partuuid":"p",)"
                    R"("path_on_host":null,"is_read_only":null,"rate_limiter":null,"io_engine":null})");
  CHECK(drive.socket == "/s");
  CHECK(drive.cache_type == CacheType::Writeback);
  CHECK(drive.partuuid == "p");
  CHECK_FALSE(accepted(decode_drive, drive_with(R"(,"socket":null)")).socket.has_value());
}

TEST_CASE("drive: a socket goes with none of the members of a file") {
  const std::string member =
      GENERATE(R"("path_on_host":"/x")", R"("is_read_only":false)", R"("io_engine":"Sync")", R"("rate_limiter":{})");
  CAPTURE(member);

  const std::string text =
      refusal(decode_drive, R"({"drive_id":"d","is_root_device":false,"socket":"/s",)" + member + "}");

  CHECK(contains(text, "Drive config error: Unable to create the virtio block device: Invalid block config."));
  CHECK(contains(refusal(decode_drive, R"({"drive_id":"d","is_root_device":false,"socket":"a\u0000b"})"), "`socket`"));
}

TEST_CASE("drive: a path or a socket is needed and the id must be one") {
  CHECK(contains(refusal(decode_drive, R"({"drive_id":"d","is_root_device":true})"), "Invalid block config."));
  CHECK(contains(refusal(decode_drive, R"({"drive_id":"a/b","is_root_device":true,"path_on_host":"/x"})"),
                 "alphanumeric"));
  CHECK(refusal(decode_drive, R"({"drive_id":"","is_root_device":true,"path_on_host":"/x"})") ==
        "The ID cannot be empty.");
}

TEST_CASE("logger: levels are read without regard to case") {
  const auto [name, level] = GENERATE(table<std::string, LogLevel>({{"Off", LogLevel::Off},
                                                                    {"tRACE", LogLevel::Trace},
                                                                    {"debug", LogLevel::Debug},
                                                                    {"INFO", LogLevel::Info},
                                                                    {"Warn", LogLevel::Warn},
                                                                    {"Warning", LogLevel::Warn},
                                                                    {"Error", LogLevel::Error}}));

  CHECK(accepted(decode_logger, R"({"level":")" + name + R"("})").level == level);
}

TEST_CASE("logger: everything is optional; wrong levels and unknown fields are refused") {
  CHECK_FALSE(accepted(decode_logger, "{}").level.has_value());
  CHECK(contains(refusal(decode_logger, R"({"level":"Loud"})"), "unknown variant `Loud`"));
  CHECK(contains(refusal(decode_logger, R"({"level":3})"), "`level`: invalid type"));
  CHECK(contains(refusal(decode_logger, R"({"x":3})"), "unknown field `x`"));
  CHECK(contains(refusal(decode_logger, R"({"log_path":"\u0000"})"), "`log_path`"));
  CHECK(contains(refusal(decode_logger, R"({"module":"\u0000"})"), "`module`"));
}

TEST_CASE("metrics: unknown fields are ignored, properties are texts") {
  const MetricsConfig config =
      accepted(decode_metrics, R"({"metrics_path":"/m","emit_id":true,"properties":{"a":"b"},"whatever":[1]})");
  CHECK(config.metrics_path == "/m");
  CHECK(config.emit_id);
  CHECK(config.properties.at("a") == "b");
  CHECK(contains(refusal(decode_metrics, R"({"metrics_path":"/m","properties":{"a":1}})"), "`properties`"));
  CHECK(contains(refusal(decode_metrics, "{}"), "missing field `metrics_path`"));
}

TEST_CASE("serial: path and limit are optional") {
  CHECK_FALSE(accepted(decode_serial, R"({"serial_out_path":null})").serial_out_path.has_value());
  CHECK(accepted(decode_serial, R"({"serial_out_path":"/s"})").serial_out_path == "/s");
  CHECK_FALSE(accepted(decode_serial, R"({"rate_limiter":{"size":0,"refill_time":0}})").limit->limits());
  CHECK(accepted(decode_serial, R"({"rate_limiter":{"size":3,"refill_time":7}})").limit ==
        TokenBucketConfig{3, 7, std::nullopt});
  CHECK(contains(refusal(decode_serial, R"({"rate_limiter":{"bandwidth":null}})"), "missing field `size`"));
}

TEST_CASE("actions and states become commands") {
  CHECK(std::holds_alternative<InstanceStart>(accepted(decode_action, R"({"action_type":"InstanceStart"})")));
  CHECK(std::holds_alternative<FlushMetrics>(accepted(decode_action, R"({"action_type":"FlushMetrics"})")));
  CHECK(std::holds_alternative<SendCtrlAltDel>(accepted(decode_action, R"({"action_type":"SendCtrlAltDel"})")));
  CHECK(std::holds_alternative<PauseVm>(accepted(decode_vm_state, R"({"state":"Paused"})")));
  CHECK(std::holds_alternative<ResumeVm>(accepted(decode_vm_state, R"({"state":"Resumed"})")));
  CHECK(contains(refusal(decode_action, R"({"action_type":"InstanceHalt"})"), "unknown variant `InstanceHalt`"));
  CHECK(contains(refusal(decode_vm_state, R"({"state":"Running"})"), "expected `Paused` or `Resumed`"));
}
