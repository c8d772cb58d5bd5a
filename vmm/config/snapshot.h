// Snapshots as the operator asks for them: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/config/descriptor.h"
#include "vmm/config/machine.h"

namespace wisp {

enum class SnapshotType {
  Full,
  Diff,  ///< the pages that changed since the last snapshot, or since the load
};

struct SnapshotCreateConfig {
  SnapshotType type = SnapshotType::Full;
  std::string snapshot_path;  ///< the state file
  std::string mem_file_path;
};

enum class MemoryBackend {
  File,  ///< mapped privately from the memory file
  Uffd,  ///< served by a userfaultfd handler that listens on a Unix socket
};

/// A device's host resource in place of the one that it was captured with.
struct ResourceOverride {
  std::string id;
  HostResource resource;
};

/// What happens to the paths in the snapshot that nothing was given for.
enum class RecordedPaths {
  Open,
  Refuse,  ///< the load fails before anything is opened: a clone opens what its operator named, and nothing else
};

struct SnapshotLoadConfig {
  HostResource state;
  MemoryBackend memory_backend = MemoryBackend::File;
  HostResource memory;  ///< the memory file, or the handler's socket
  bool track_dirty_pages = false;
  bool resume_vm = false;
  std::vector<ResourceOverride> network_overrides;  ///< the path is the TAP interface's name
  std::vector<ResourceOverride> drive_overrides;
  std::vector<ResourceOverride> pmem_overrides;
  /// With both, the path is only where programs listen to which the guest connects.
  std::optional<HostResource> vsock_override;
  std::optional<HostResource> serial_override;
  std::optional<HostResource> logger_override;
  std::optional<HostResource> metrics_override;
  std::optional<HostResource> metadata_override;  ///< a file with the contents of the metadata store, as JSON
  RecordedPaths recorded_paths = RecordedPaths::Open;
  bool clock_realtime = false;          ///< the guest's clock jumps to now
  std::optional<HugePages> huge_pages;  ///< absent: as captured
};

}  // namespace wisp
