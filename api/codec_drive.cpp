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
  fields.reject_unless_null("socket");
  fields.optional("path_on_host", drive.path_on_host);
  read_limiter(fields, "rate_limiter", drive.limits);
  fields.defaulted("io_engine", kIoEngines, drive.io_engine);
  fields.refuse_nul("path_on_host", drive.path_on_host);
  fields.refuse_nul("partuuid", drive.partuuid.value_or(""));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  if (!json.contains("path_on_host") || json["path_on_host"].is_null()) {
    return Error(ErrorCode::InvalidArgument, "missing field `path_on_host`");
  }
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
  json.key("is_read_only").truth(drive.is_read_only);
  json.key("path_on_host").string(drive.path_on_host);
  json.key("rate_limiter");
  write_limiter(json, drive.limits);
  json.key("io_engine").string(name_of(kIoEngines, drive.io_engine));
  json.key("socket").null();
  json.close_object();
}

}  // namespace wisp::api
