// Snapshot requests in JSON.
#pragma once

#include "api/json_value.h"
#include "vmm/base/result.h"
#include "vmm/config/snapshot.h"

namespace wisp::api {

Result<SnapshotCreateConfig> decode_snapshot_create(const Json& json);

/// `deprecated`: mem_file_path or enable_diff_snapshots was used.
struct SnapshotLoadBody {
  SnapshotLoadConfig config;
  bool deprecated = false;
};
Result<SnapshotLoadBody> decode_snapshot_load(const Json& json);

}  // namespace wisp::api
