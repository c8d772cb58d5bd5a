#include "api/codec_drive.h"

#include <nlohmann/json.hpp>
#include <string>

#include "api/codec_limiter.h"
#include "api/fields.h"
#include "api/unicode.h"

namespace wisp::api {
namespace {

constexpr EnumName<CacheType> kCacheTypes[] = {{"Unsafe", CacheType::Unsafe}, {"Writeback", CacheType::Writeback}};
constexpr EnumName<IoEngine> kIoEngines[] = {{"Sync", IoEngine::Sync}, {"Async", IoEngine::Async}};

/// A drive is a file of ours or the disk of a vhost-user back end; the latter has these to itself.
Status check_one_backend(const Json& json, const DriveConfig& drive) {
  const auto given = [&json](const char* name) { return json.contains(name) && !json[name].is_null(); };
  const bool has_path = given("path_on_host");
  const bool mixed = given("is_read_only") || given("rate_limiter") || given("io_engine");
  if (has_path == drive.socket.has_value() || (drive.socket && mixed)) {
    return Error(ErrorCode::InvalidArgument,
                 "Drive config error: Unable to create the virtio block device: Invalid block config. (Give "
                 "path_on_host; or socket, and then none of path_on_host, is_read_only, rate_limiter, io_engine.)");
  }
  return {};
}

void write_file_members(JsonWriter& json, const DriveConfig& drive) {
  json.key("is_read_only").truth(drive.is_read_only);
  json.key("path_on_host").string(drive.path_on_host);
  json.key("rate_limiter");
  write_limiter(json, drive.limits);
  json.key("io_engine").string(name_of(kIoEngines, drive.io_engine));
  json.key("socket").null();
}

void write_socket_members(JsonWriter& json, const std::string& socket) {
  for (const char* name : {"is_read_only", "path_on_host", "rate_limiter", "io_engine"}) {
    json.key(name).null();
  }
  json.key("socket").string(socket);
}

}  // namespace

Status check_resource_id(std::string_view id) {
  if (id.empty()) {
    return Error(ErrorCode::InvalidArgument, "The ID cannot be empty.");
  }
  if (!has_only_id_characters(id)) {
    return Error(ErrorCode::InvalidArgument,
                 "API Resource IDs can only contain alphanumeric characters and underscores.");
  }
  return {};
}

Result<DriveConfig> decode_drive(const Json& json) {
  DriveConfig drive;
  FieldReader fields(json);
  fields.required("drive_id", drive.drive_id);
  fields.optional("partuuid", drive.partuuid);
  fields.required("is_root_device", drive.is_root_device);
  fields.defaulted("cache_type", kCacheTypes, drive.cache_type);
  fields.optional("is_read_only", drive.is_read_only);
  fields.optional("socket", drive.socket);
  fields.optional("path_on_host", drive.path_on_host);
  read_limiter(fields, "rate_limiter", drive.limits);
  std::optional<IoEngine> io_engine;
  fields.optional("io_engine", kIoEngines, io_engine);
  drive.io_engine = io_engine.value_or(IoEngine::Sync);
  fields.refuse_nul("path_on_host", drive.path_on_host);
  fields.refuse_nul("socket", drive.socket.value_or(""));
  fields.refuse_nul("partuuid", drive.partuuid.value_or(""));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  WISP_TRY(check_one_backend(json, drive));
  WISP_TRY(check_resource_id(drive.drive_id));
  return drive;
}

Result<DrivePatch> decode_drive_patch(const Json& json) {
  DrivePatch patch;
  FieldReader fields(json);
  fields.required("drive_id", patch.drive_id);
  fields.optional("path_on_host", patch.path_on_host);
  if (fields.non_null_member("rate_limiter") != nullptr) {
    read_limiter(fields, "rate_limiter", patch.limits.emplace());
  }
  fields.refuse_nul("path_on_host", patch.path_on_host.value_or(""));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  WISP_TRY(check_resource_id(patch.drive_id));
  return patch;
}

void write_drive(JsonWriter& json, const DriveConfig& drive) {
  json.open_object();
  json.key("drive_id").string(drive.drive_id);
  json.key("partuuid").optional_string(drive.partuuid);
  json.key("is_root_device").truth(drive.is_root_device);
  json.key("cache_type").string(name_of(kCacheTypes, drive.cache_type));
  drive.socket ? write_socket_members(json, *drive.socket) : write_file_members(json, drive);
  json.close_object();
}

}  // namespace wisp::api
