#include "api/routes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/codec_action.h"
#include "api/codec_boot.h"
#include "api/codec_drive.h"
#include "api/codec_machine.h"
#include "api/codec_observe.h"

namespace wisp::api {
namespace {

constexpr std::string_view kBadBody = "An error occurred when deserializing the json body of a request: ";

/// Parses the body and hands it to a codec.
template <typename T>
Result<T> decode_body(const RequestView& request, Result<T> (*decode)(const Json&)) {
  Result<Json> json = parse_json(request.body);
  if (!json.ok()) {
    return std::move(json).error().with_prefix(kBadBody);
  }
  Result<T> decoded = decode(json.value());
  if (!decoded.ok()) {
    return std::move(decoded).error().with_prefix(kBadBody);
  }
  return decoded;
}

template <typename Message>
Result<ParsedRequest> question(const RequestView& /*request*/) {
  return ParsedRequest{Command(Message{}), nullptr};
}

Result<ParsedRequest> ask_version(const RequestView& /*request*/) {
  return ParsedRequest{VersionQuestion{}, nullptr};
}

template <typename Message, typename Config, Result<Config> (*kDecode)(const Json&)>
Result<ParsedRequest> put_config(const RequestView& request) {
  return ParsedRequest{Command(Message{WISP_TRY(decode_body(request, kDecode))}), nullptr};
}

template <Result<Command> (*kDecode)(const Json&)>
Result<ParsedRequest> give_order(const RequestView& request) {
  return ParsedRequest{WISP_TRY(decode_body(request, kDecode)), nullptr};
}

const char* deprecation_of(CpuTemplateField field, const char* text) {
  return field == CpuTemplateField::Given ? text : nullptr;
}

Result<ParsedRequest> put_machine(const RequestView& request) {
  MachineBody body = WISP_TRY(decode_body(request, decode_machine));
  return ParsedRequest{Command(PutMachineConfig{body.config}),
                       deprecation_of(body.cpu_template, "PUT /machine-config: cpu_template field is deprecated.")};
}

Result<ParsedRequest> patch_machine(const RequestView& request) {
  MachinePatchBody body = WISP_TRY(decode_body(request, decode_machine_patch));
  if (changes_nothing(body)) {
    return Error(ErrorCode::InvalidArgument, "Empty PATCH request.");
  }
  return ParsedRequest{Command(PatchMachineConfig{body.patch}),
                       deprecation_of(body.cpu_template, "PATCH /machine-config: cpu_template field is deprecated.")};
}

Result<ParsedRequest> put_drive(const RequestView& request) {
  DriveConfig drive = WISP_TRY(decode_body(request, decode_drive));
  if (drive.drive_id != request.second) {
    return Error(ErrorCode::InvalidArgument, "The id from the path does not match the id from the body!");
  }
  return ParsedRequest{Command(PutDrive{std::move(drive)}), nullptr};
}

template <Counter ApiMetrics::Get::*kField>
Counter* get_count(ApiMetrics& metrics) {
  return &(metrics.get.*kField);
}
template <RequestCounter ApiMetrics::Put::*kField>
Counter* put_count(ApiMetrics& metrics) {
  return &(metrics.put.*kField).count;
}
template <RequestCounter ApiMetrics::Put::*kField>
Counter* put_fails(ApiMetrics& metrics) {
  return &(metrics.put.*kField).fails;
}
template <RequestCounter ApiMetrics::Patch::*kField>
Counter* patch_count(ApiMetrics& metrics) {
  return &(metrics.patch.*kField).count;
}
template <RequestCounter ApiMetrics::Patch::*kField>
Counter* patch_fails(ApiMetrics& metrics) {
  return &(metrics.patch.*kField).fails;
}
Counter* uncounted(ApiMetrics& /*metrics*/) {
  return nullptr;
}

using Get = ApiMetrics::Get;
using Put = ApiMetrics::Put;
using Patch = ApiMetrics::Patch;
constexpr auto kIgnored = SecondToken::Ignored;

constexpr Route kRoutes[] = {
    {Method::Get, kIgnored, "", "", question<GetInstanceInfo>, get_count<&Get::instance_info_count>, uncounted},
    {Method::Get, kIgnored, "version", "", ask_version, get_count<&Get::vmm_version_count>, uncounted},
    {Method::Get, kIgnored, "machine-config", "", question<GetMachineConfig>, get_count<&Get::machine_cfg_count>,
     uncounted},
    {Method::Get, SecondToken::Exactly, "vm", "config", question<GetFullConfig>, uncounted, uncounted},
    {Method::Put, kIgnored, "actions", "", give_order<decode_action>, put_count<&Put::actions>,
     put_fails<&Put::actions>},
    {Method::Put, kIgnored, "boot-source", "", put_config<PutBootSource, BootSource, decode_boot_source>,
     put_count<&Put::boot_source>, put_fails<&Put::boot_source>},
    {Method::Put, SecondToken::Id, "drives", "", put_drive, put_count<&Put::drive>, put_fails<&Put::drive>},
    {Method::Put, kIgnored, "logger", "", put_config<PutLogger, LoggerConfig, decode_logger>, put_count<&Put::logger>,
     put_fails<&Put::logger>},
    {Method::Put, kIgnored, "machine-config", "", put_machine, put_count<&Put::machine_cfg>,
     put_fails<&Put::machine_cfg>},
    {Method::Put, kIgnored, "metrics", "", put_config<PutMetrics, MetricsConfig, decode_metrics>,
     put_count<&Put::metrics>, put_fails<&Put::metrics>},
    {Method::Put, kIgnored, "serial", "", put_config<PutSerial, SerialConfig, decode_serial>, put_count<&Put::serial>,
     put_fails<&Put::serial>},
    {Method::Patch, kIgnored, "machine-config", "", patch_machine, patch_count<&Patch::machine_cfg>,
     patch_fails<&Patch::machine_cfg>},
    {Method::Patch, kIgnored, "vm", "", give_order<decode_vm_state>, uncounted, uncounted},
};

constexpr UnsupportedRoute kUnsupportedRoutes[] = {
    {Method::Get, kIgnored, "balloon", "", "The balloon device"},
    {Method::Put, kIgnored, "balloon", "", "The balloon device"},
    {Method::Patch, kIgnored, "balloon", "", "The balloon device"},
    {Method::Put, kIgnored, "cpu-config", "", "A custom CPU configuration"},
    {Method::Patch, SecondToken::Id, "drives", "", "Changing a drive of a running microVM"},
    {Method::Delete, SecondToken::Id, "drives", "", "Removing a drive"},
    {Method::Put, kIgnored, "entropy", "", "The entropy device"},
    {Method::Get, SecondToken::Exactly, "hotplug", "memory", "Memory hot-plug"},
    {Method::Put, SecondToken::Exactly, "hotplug", "memory", "Memory hot-plug"},
    {Method::Patch, SecondToken::Exactly, "hotplug", "memory", "Memory hot-plug"},
    {Method::Get, kIgnored, "mmds", "", "The metadata service"},
    {Method::Put, SecondToken::Exactly, "mmds", "", "The metadata service"},
    {Method::Put, SecondToken::Exactly, "mmds", "config", "The metadata service"},
    {Method::Patch, kIgnored, "mmds", "", "The metadata service"},
    {Method::Put, SecondToken::Id, "network-interfaces", "", "The network device"},
    {Method::Patch, SecondToken::Id, "network-interfaces", "", "The network device"},
    {Method::Delete, SecondToken::Id, "network-interfaces", "", "The network device"},
    {Method::Put, SecondToken::Id, "pmem", "", "The persistent memory device"},
    {Method::Patch, SecondToken::Id, "pmem", "", "The persistent memory device"},
    {Method::Delete, SecondToken::Id, "pmem", "", "The persistent memory device"},
    {Method::Put, SecondToken::Exactly, "snapshot", "create", "Creating a snapshot"},
    {Method::Put, SecondToken::Exactly, "snapshot", "load", "Loading a snapshot"},
    {Method::Put, kIgnored, "vsock", "", "The vsock device"},
};

}  // namespace

PathTokens split_path(std::string_view path) {
  const auto take_token = [&path] {
    const std::size_t slash = path.find('/');
    const std::string_view token = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    return token;
  };
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  const std::string_view first = take_token();
  return {first, take_token()};
}

std::span<const Route> routes() {
  return kRoutes;
}
std::span<const UnsupportedRoute> unsupported_routes() {
  return kUnsupportedRoutes;
}

}  // namespace wisp::api
