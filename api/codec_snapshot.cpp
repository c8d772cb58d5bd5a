#include "api/codec_snapshot.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "api/fields.h"

namespace wisp::api {
namespace {

constexpr EnumName<SnapshotType> kTypes[] = {{"Full", SnapshotType::Full}, {"Diff", SnapshotType::Diff}};
constexpr EnumName<MemoryBackend> kBackends[] = {{"File", MemoryBackend::File}, {"Uffd", MemoryBackend::Uffd}};

enum class WantedPages { Snapshot, None, Transparent, Pages2M };
constexpr EnumName<WantedPages> kPages[] = {{"Snapshot", WantedPages::Snapshot},
                                            {"None", WantedPages::None},
                                            {"Transparent", WantedPages::Transparent},
                                            {"2M", WantedPages::Pages2M}};

struct Backend {
  MemoryBackend type = MemoryBackend::File;
  std::string path;
};

Result<Backend> decode_backend(const Json& json) {
  Backend backend;
  FieldReader fields(json);
  fields.required("backend_path", backend.path);
  fields.required("backend_type", kBackends, backend.type);
  fields.refuse_nul("backend_path", backend.path);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return backend;
}

Result<NetworkOverride> decode_network_override(const Json& json) {
  NetworkOverride wanted;
  FieldReader fields(json);
  fields.required("iface_id", wanted.iface_id);
  fields.required("host_dev_name", wanted.host_dev_name);
  fields.refuse_nul("host_dev_name", wanted.host_dev_name);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  return wanted;
}

Result<FileOverride> decode_file_override(const Json& json) {
  FileOverride wanted;
  FieldReader fields(json);
  fields.required("id", wanted.id);
  fields.required("path_on_host", wanted.path_on_host);
  fields.refuse_nul("path_on_host", wanted.path_on_host);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return wanted;
}

Result<std::string> decode_vsock_override(const Json& json) {
  std::string uds_path;
  FieldReader fields(json);
  fields.required("uds_path", uds_path);
  fields.refuse_nul("uds_path", uds_path);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  return uds_path;
}

/// An absent list is an empty one; null is a mistake.
template <typename T>
void read_list(FieldReader& fields, std::string_view name, Result<T> (*decode)(const Json&), std::vector<T>& out) {
  const Json* list = fields.member(name);
  if (list == nullptr) {
    return;
  }
  if (!list->is_array()) {
    fields.fail("field `" + std::string(name) + "`: invalid type: expected a list");
    return;
  }
  for (const Json& each : *list) {
    Result<T> decoded = decode(each);
    if (!decoded.ok()) {
      fields.fail(std::move(decoded).error());
      return;
    }
    out.push_back(std::move(decoded).value());
  }
}

void read_memory(FieldReader& fields, SnapshotLoadBody& body) {
  const Json* backend = fields.non_null_member("mem_backend");
  std::optional<std::string> file_path;
  fields.optional("mem_file_path", file_path);
  fields.refuse_nul("mem_file_path", file_path.value_or(""));
  if (backend == nullptr && !file_path) {
    fields.fail("missing field: either `mem_backend` or `mem_file_path` is required");
    return;
  }
  if (backend != nullptr && file_path) {
    fields.fail("too many fields: either `mem_backend` or `mem_file_path` exclusively is required");
    return;
  }
  if (file_path) {
    body.config.memory_path = std::move(*file_path);
    body.deprecated = true;
    return;
  }
  Result<Backend> decoded = decode_backend(*backend);
  if (!decoded.ok()) {
    fields.fail(std::move(decoded).error());
    return;
  }
  body.config.memory_backend = decoded.value().type;
  body.config.memory_path = std::move(decoded).value().path;
}

std::optional<HugePages> as_huge_pages(WantedPages wanted) {
  switch (wanted) {
    case WantedPages::None: return HugePages::None;
    case WantedPages::Transparent: return HugePages::Transparent;
    case WantedPages::Pages2M: return HugePages::Pages2M;
    case WantedPages::Snapshot: break;
  }
  return std::nullopt;
}

}  // namespace

Result<SnapshotCreateConfig> decode_snapshot_create(const Json& json) {
  SnapshotCreateConfig config;
  FieldReader fields(json);
  fields.defaulted("snapshot_type", kTypes, config.type);
  fields.required("snapshot_path", config.snapshot_path);
  fields.required("mem_file_path", config.mem_file_path);
  fields.refuse_nul("snapshot_path", config.snapshot_path);
  fields.refuse_nul("mem_file_path", config.mem_file_path);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return config;
}

Result<SnapshotLoadBody> decode_snapshot_load(const Json& json) {
  SnapshotLoadBody body;
  SnapshotLoadConfig& config = body.config;
  FieldReader fields(json);
  fields.required("snapshot_path", config.snapshot_path);
  fields.refuse_nul("snapshot_path", config.snapshot_path);
  read_memory(fields, body);
  bool enable_diff_snapshots = false;
  fields.defaulted("enable_diff_snapshots", enable_diff_snapshots);
  fields.defaulted("track_dirty_pages", config.track_dirty_pages);
  fields.defaulted("resume_vm", config.resume_vm);
  read_list(fields, "network_overrides", decode_network_override, config.network_overrides);
  read_list(fields, "drive_overrides", decode_file_override, config.drive_overrides);
  read_list(fields, "pmem_overrides", decode_file_override, config.pmem_overrides);
  if (const Json* vsock = fields.non_null_member("vsock_override"); vsock != nullptr) {
    Result<std::string> path = decode_vsock_override(*vsock);
    if (path.ok()) {
      config.vsock_uds_path = std::move(path).value();
    } else {
      fields.fail(std::move(path).error());
    }
  }
  fields.defaulted("clock_realtime", config.clock_realtime);
  WantedPages pages = WantedPages::Snapshot;
  fields.defaulted("huge_pages", kPages, pages);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  config.huge_pages = as_huge_pages(pages);
  config.track_dirty_pages = config.track_dirty_pages || enable_diff_snapshots;
  body.deprecated = body.deprecated || enable_diff_snapshots;
  return body;
}

}  // namespace wisp::api
