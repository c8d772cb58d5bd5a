#include "api/routes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/codec_action.h"
#include "api/codec_balloon.h"
#include "api/codec_boot.h"
#include "api/codec_cpu.h"
#include "api/codec_drive.h"
#include "api/codec_entropy.h"
#include "api/codec_machine.h"
#include "api/codec_memory_hotplug.h"
#include "api/codec_mmds.h"
#include "api/codec_net.h"
#include "api/codec_observe.h"
#include "api/codec_pmem.h"
#include "api/codec_snapshot.h"
#include "api/codec_vsock.h"

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

Status check_same_id(const RequestView& request, std::string_view id) {
  if (id != request.second) {
    return Error(ErrorCode::InvalidArgument, "The id from the path does not match the id from the body!");
  }
  return {};
}

/// A resource with an id, which stands in the path and in the body.
template <typename Message, typename Config, Result<Config> (*kDecode)(const Json&), std::string Config::*kId>
Result<ParsedRequest> put_resource(const RequestView& request) {
  Config config = WISP_TRY(decode_body(request, kDecode));
  WISP_TRY(check_same_id(request, config.*kId));
  return ParsedRequest{Command(Message{std::move(config)}), nullptr};
}

Result<ParsedRequest> unplug(const RequestView& request) {
  return ParsedRequest{Command(UnplugDevice{std::string(request.second)}), nullptr};
}

Result<ParsedRequest> put_vsock(const RequestView& request) {
  VsockConfig vsock = WISP_TRY(decode_body(request, decode_vsock));
  const char* deprecation = vsock.vsock_id ? "PUT /vsock: vsock_id field is deprecated." : nullptr;
  return ParsedRequest{Command(PutVsock{std::move(vsock)}), deprecation};
}

Result<ParsedRequest> put_mmds_config(const RequestView& request) {
  MmdsConfig config = WISP_TRY(decode_body(request, decode_mmds_config));
  const char* deprecation =
      config.version == MmdsVersion::V1 ? "PUT /mmds/config: V1 is deprecated. Use V2 instead." : nullptr;
  return ParsedRequest{Command(PutMmdsConfig{std::move(config)}), deprecation};
}

Result<ParsedRequest> load_snapshot(const RequestView& request) {
  SnapshotLoadBody body = WISP_TRY(decode_body(request, decode_snapshot_load));
  const char* deprecation =
      body.deprecated ? "PUT /snapshot/load: mem_file_path and enable_diff_snapshots fields are deprecated." : nullptr;
  return ParsedRequest{Command(LoadSnapshot{std::move(body.config)}), deprecation};
}

/// The metadata store's content goes through as it came; the store has rules of its own for what it takes.
template <typename Message>
Result<ParsedRequest> hand_on_json(const RequestView& request) {
  return ParsedRequest{Command(Message{std::string(request.body)}), nullptr};
}

template <typename Message, Result<Message> (*kDecode)(const Json&)>
Result<ParsedRequest> change(const RequestView& request) {
  return ParsedRequest{Command(WISP_TRY(decode_body(request, kDecode))), nullptr};
}

Result<ParsedRequest> start_hinting(const RequestView& request) {
  if (request.body.empty()) {
    return ParsedRequest{Command(StartBalloonHinting{}), nullptr};
  }
  return change<StartBalloonHinting, decode_hinting_start>(request);
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
    {Method::Get, kIgnored, "capabilities", "", question<GetCapabilities>, uncounted, uncounted},
    {Method::Get, SecondToken::Exactly, "vm", "config", question<GetFullConfig>, uncounted, uncounted},
    {Method::Get, SecondToken::Exactly, "balloon", "", question<GetBalloon>, uncounted, uncounted},
    {Method::Get, SecondToken::Exactly, "balloon", "statistics", question<GetBalloonStatistics>, uncounted, uncounted},
    {Method::Get, SecondToken::Rest, "balloon", "hinting/status", question<GetBalloonHinting>, uncounted, uncounted},
    {Method::Get, SecondToken::Exactly, "hotplug", "memory", question<GetMemoryHotplug>,
     get_count<&Get::hotplug_memory_count>, uncounted},
    {Method::Get, kIgnored, "mmds", "", question<GetMmds>, get_count<&Get::mmds_count>, uncounted},
    {Method::Put, kIgnored, "actions", "", give_order<decode_action>, put_count<&Put::actions>,
     put_fails<&Put::actions>},
    {Method::Put, kIgnored, "boot-source", "", put_config<PutBootSource, BootSource, decode_boot_source>,
     put_count<&Put::boot_source>, put_fails<&Put::boot_source>},
    {Method::Put, SecondToken::Id, "drives", "",
     put_resource<PutDrive, DriveConfig, decode_drive, &DriveConfig::drive_id>, put_count<&Put::drive>,
     put_fails<&Put::drive>},
    {Method::Put, kIgnored, "balloon", "", put_config<PutBalloon, BalloonConfig, decode_balloon>, uncounted, uncounted},
    {Method::Put, kIgnored, "cpu-config", "", put_config<PutCpuConfig, CustomCpuTemplate, decode_cpu_config>,
     put_count<&Put::cpu_cfg>, put_fails<&Put::cpu_cfg>},
    {Method::Put, kIgnored, "entropy", "", put_config<PutEntropy, EntropyConfig, decode_entropy>, uncounted, uncounted},
    {Method::Put, SecondToken::Exactly, "hotplug", "memory",
     put_config<PutMemoryHotplug, MemoryHotplugConfig, decode_memory_hotplug>, put_count<&Put::hotplug_memory>,
     put_fails<&Put::hotplug_memory>},
    {Method::Put, SecondToken::Exactly, "mmds", "", hand_on_json<PutMmds>, put_count<&Put::mmds>,
     put_fails<&Put::mmds>},
    {Method::Put, SecondToken::Exactly, "mmds", "config", put_mmds_config, put_count<&Put::mmds>,
     put_fails<&Put::mmds>},
    {Method::Put, SecondToken::Id, "network-interfaces", "",
     put_resource<PutNetworkInterface, NetConfig, decode_net, &NetConfig::iface_id>, put_count<&Put::network>,
     put_fails<&Put::network>},
    {Method::Put, SecondToken::Id, "pmem", "", put_resource<PutPmem, PmemConfig, decode_pmem, &PmemConfig::id>,
     put_count<&Put::pmem>, put_fails<&Put::pmem>},
    {Method::Put, SecondToken::Exactly, "snapshot", "create",
     put_config<CreateSnapshot, SnapshotCreateConfig, decode_snapshot_create>, uncounted, uncounted},
    {Method::Put, SecondToken::Exactly, "snapshot", "load", load_snapshot, uncounted, uncounted},
    {Method::Put, kIgnored, "vsock", "", put_vsock, put_count<&Put::vsock>, put_fails<&Put::vsock>},
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
    {Method::Patch, SecondToken::Exactly, "balloon", "statistics",
     change<PatchBalloonStatistics, decode_balloon_statistics_patch>, uncounted, uncounted},
    {Method::Patch, SecondToken::Rest, "balloon", "hinting/start", start_hinting, uncounted, uncounted},
    {Method::Patch, SecondToken::Rest, "balloon", "hinting/stop", question<StopBalloonHinting>, uncounted, uncounted},
    {Method::Patch, SecondToken::Exactly, "balloon", "", change<PatchBalloon, decode_balloon_patch>, uncounted,
     uncounted},
    {Method::Patch, SecondToken::Id, "drives", "",
     put_resource<PatchDrive, DrivePatch, decode_drive_patch, &DrivePatch::drive_id>, patch_count<&Patch::drive>,
     patch_fails<&Patch::drive>},
    {Method::Patch, SecondToken::Exactly, "hotplug", "memory", change<PatchMemoryHotplug, decode_memory_hotplug_patch>,
     patch_count<&Patch::hotplug_memory>, patch_fails<&Patch::hotplug_memory>},
    {Method::Patch, kIgnored, "mmds", "", hand_on_json<PatchMmds>, patch_count<&Patch::mmds>,
     patch_fails<&Patch::mmds>},
    {Method::Patch, SecondToken::Id, "network-interfaces", "",
     put_resource<PatchNetworkInterface, NetPatch, decode_net_patch, &NetPatch::iface_id>, patch_count<&Patch::network>,
     patch_fails<&Patch::network>},
    {Method::Patch, SecondToken::Id, "pmem", "", put_resource<PatchPmem, PmemPatch, decode_pmem_patch, &PmemPatch::id>,
     patch_count<&Patch::pmem>, patch_fails<&Patch::pmem>},
    {Method::Delete, SecondToken::Id, "drives", "", unplug, uncounted, uncounted},
    {Method::Delete, SecondToken::Id, "network-interfaces", "", unplug, uncounted, uncounted},
    {Method::Delete, SecondToken::Id, "pmem", "", unplug, uncounted, uncounted},
    {Method::Patch, kIgnored, "vm", "", give_order<decode_vm_state>, uncounted, uncounted},
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
  PathTokens tokens;
  tokens.first = take_token();
  const std::string_view after_first = path;
  tokens.second = take_token();
  const std::string_view third = take_token();
  tokens.rest = third.empty() ? tokens.second : after_first.substr(0, tokens.second.size() + 1 + third.size());
  return tokens;
}

std::span<const Route> routes() {
  return kRoutes;
}

}  // namespace wisp::api
