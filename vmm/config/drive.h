// A virtio block device as the operator asks for it: plain data.
#pragma once

#include <optional>
#include <string>

#include "vmm/config/limiter.h"

namespace wisp {

enum class CacheType {
  Unsafe,     ///< no flush offered: a host crash may lose acknowledged writes
  Writeback,  ///< flush offered; it completes after the data is on the medium
};
enum class IoEngine { Sync, Async };

struct DriveConfig {
  std::string drive_id;
  std::string path_on_host;
  bool is_root_device = false;
  bool is_read_only = false;
  std::optional<std::string> partuuid;
  CacheType cache_type = CacheType::Unsafe;
  IoEngine io_engine = IoEngine::Sync;
  RateLimiterConfig limits = {};
  /// Of a vhost-user back end, which then has the disk: no path, engine, limits or read-only of ours.
  std::optional<std::string> socket = {};
};

/// PATCH of a running machine's drive: what is absent stays. One with nothing but the id asks a vhost-user back end for
/// its capacity again.
struct DrivePatch {
  std::string drive_id;
  std::optional<std::string> path_on_host;
  std::optional<RateLimiterPatch> limits;
};

}  // namespace wisp
