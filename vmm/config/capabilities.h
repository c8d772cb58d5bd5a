// What this build of wisp and this host can do, as GET /capabilities shows it.
//
// The build's part is the same everywhere. The host's part takes system calls that a monitor gives up when its machine
// is started, so it is found out at the first question before the start and kept; a machine that is asked later only
// has none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wisp {

/// Something that the host may or may not offer.
struct Availability {
  std::string name;
  std::optional<std::string> obstacle;  ///< what is in the way and what to do; absent when it can be used
};

struct Feature {
  const char* name;
  bool supported;
};

struct Limit {
  const char* name;
  std::uint64_t value;
  const char* unit;
};

struct HostCapabilities {
  Availability kvm{"kvm", {}};
  std::uint32_t kvm_max_vcpus = 0;  ///< per machine, as KVM says; 0 when it cannot be asked
  std::vector<Availability> block_engines;
  std::vector<Availability> huge_pages;
  Availability userfaultfd{"userfaultfd", {}};
  std::vector<Availability> cpu_templates;
  int landlock_abi = 0;  ///< 0: none
  bool seccomp = false;  ///< this process filters its system calls
};

struct Capabilities {
  std::string snapshot_version;
  std::vector<const char*> transports;
  std::vector<const char*> devices;
  std::vector<Feature> features;
  std::vector<Limit> limits;
  std::optional<HostCapabilities> host;
};

}  // namespace wisp
