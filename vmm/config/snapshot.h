// Snapshots as the operator asks for them: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

/// A host resource that the restored machine gets in place of the one it was captured with.
struct NetworkOverride {
  std::string iface_id;
  std::string host_dev_name;
};
struct FileOverride {
  std::string id;
  std::string path_on_host;
};

struct SnapshotLoadConfig {
  std::string snapshot_path;
  MemoryBackend memory_backend = MemoryBackend::File;
  std::string memory_path;  ///< of the memory file or of the handler's socket
  bool track_dirty_pages = false;
  bool resume_vm = false;
  std::vector<NetworkOverride> network_overrides;
  std::vector<FileOverride> drive_overrides;
  std::vector<FileOverride> pmem_overrides;
  std::optional<std::string> vsock_uds_path;
  bool clock_realtime = false;          ///< the guest's clock jumps to now
  std::optional<HugePages> huge_pages;  ///< absent: as captured
};

}  // namespace wisp
