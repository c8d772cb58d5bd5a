#include "api/codec_snapshot.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "api/fields.h"

namespace wisp::api {
namespace {

constexpr EnumName<SnapshotType> kTypes[] = {{"Full", SnapshotType::Full}, {"Diff", SnapshotType::Diff}};
constexpr EnumName<MemoryBackend> kBackends[] = {{"File", MemoryBackend::File}, {"Uffd", MemoryBackend::Uffd}};

constexpr EnumName<RecordedPaths> kRecordedPaths[] = {{"Open", RecordedPaths::Open}, {"Refuse", RecordedPaths::Refuse}};

enum class WantedPages { Snapshot, None, Transparent, Pages2M };
constexpr EnumName<WantedPages> kPages[] = {{"Snapshot", WantedPages::Snapshot},
                                            {"None", WantedPages::None},
                                            {"Transparent", WantedPages::Transparent},
                                            {"2M", WantedPages::Pages2M}};

/// `descriptor` is the index of one that came with the request, or the name of an inherited one.
void read_descriptor(FieldReader& fields, std::string_view name, std::optional<DescriptorRef>& out) {
  const Json* value = fields.non_null_member(name);
  if (value == nullptr) {
    return;
  }
  if (value->is_string()) {
    std::string text;
    fields.optional(name, text);
    fields.refuse_nul(name, text);
    out = std::move(text);
    return;
  }
  std::uint32_t index = 0;
  fields.optional(name, index);
  out = index;
}

enum class PathAndDescriptor { OneOfThem, BothAllowed };

/// The path under its name in this object, or a descriptor in its place.
void read_resource(FieldReader& fields, std::string_view path_name, HostResource& out,
                   PathAndDescriptor rule = PathAndDescriptor::OneOfThem,
                   std::string_view descriptor_name = "descriptor") {
  read_descriptor(fields, descriptor_name, out.descriptor);
  if (!out.descriptor) {
    fields.required(path_name, out.path.emplace());
  } else {
    fields.optional(path_name, out.path);
  }
  fields.refuse_nul(path_name, out.path.value_or(""));
  if (out.path && out.descriptor && rule == PathAndDescriptor::OneOfThem) {
    fields.fail("too many fields: either `" + std::string(path_name) + "` or `" + std::string(descriptor_name) +
                "` exclusively is required");
  }
}

struct Backend {
  MemoryBackend type = MemoryBackend::File;
  HostResource resource;
};

Result<Backend> decode_backend(const Json& json) {
  Backend backend;
  FieldReader fields(json);
  read_resource(fields, "backend_path", backend.resource);
  fields.required("backend_type", kBackends, backend.type);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return backend;
}

Result<ResourceOverride> decode_network_override(const Json& json) {
  ResourceOverride wanted;
  FieldReader fields(json);
  fields.required("iface_id", wanted.id);
  read_resource(fields, "host_dev_name", wanted.resource);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  return wanted;
}

Result<ResourceOverride> decode_file_override(const Json& json) {
  ResourceOverride wanted;
  FieldReader fields(json);
  fields.required("id", wanted.id);
  read_resource(fields, "path_on_host", wanted.resource);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return wanted;
}

/// An override of something that there is once. The object is {"<path_name>": ...} or {"descriptor": ...}.
void read_override(FieldReader& fields, std::string_view name, std::string_view path_name,
                   std::optional<HostResource>& out, UnknownFields unknown = UnknownFields::Refused,
                   PathAndDescriptor rule = PathAndDescriptor::OneOfThem) {
  const Json* json = fields.non_null_member(name);
  if (json == nullptr) {
    return;
  }
  FieldReader inner(*json);
  read_resource(inner, path_name, out.emplace(), rule);
  fields.check(inner.finish(unknown));
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
    body.config.memory.path = std::move(*file_path);
    body.deprecated = true;
    return;
  }
  Result<Backend> decoded = decode_backend(*backend);
  if (!decoded.ok()) {
    fields.fail(std::move(decoded).error());
    return;
  }
  body.config.memory_backend = decoded.value().type;
  body.config.memory = std::move(decoded).value().resource;
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
  read_resource(fields, "snapshot_path", config.state, PathAndDescriptor::OneOfThem, "snapshot_descriptor");
  read_memory(fields, body);
  bool enable_diff_snapshots = false;
  fields.defaulted("enable_diff_snapshots", enable_diff_snapshots);
  fields.defaulted("track_dirty_pages", config.track_dirty_pages);
  fields.defaulted("resume_vm", config.resume_vm);
  read_list(fields, "network_overrides", decode_network_override, config.network_overrides);
  read_list(fields, "drive_overrides", decode_file_override, config.drive_overrides);
  read_list(fields, "pmem_overrides", decode_file_override, config.pmem_overrides);
  read_override(fields, "vsock_override", "uds_path", config.vsock_override, UnknownFields::Ignored,
                PathAndDescriptor::BothAllowed);
  read_override(fields, "serial_override", "serial_out_path", config.serial_override);
  read_override(fields, "logger_override", "log_path", config.logger_override);
  read_override(fields, "metrics_override", "metrics_path", config.metrics_override);
  read_override(fields, "metadata_override", "path", config.metadata_override);
  fields.defaulted("recorded_paths", kRecordedPaths, config.recorded_paths);
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
