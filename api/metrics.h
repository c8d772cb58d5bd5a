// What the API counts: how often each noun was asked for, and how often that was refused.
//
// The groups and field names are part of the interface: clients compare the set of names.
#pragma once

#include "vmm/base/metrics.h"

namespace wisp::api {

/// A kind of request; a refusal counts in both.
struct RequestCounter {
  Counter count;
  Counter fails;
};

struct ApiMetrics {
  struct Get {
    Counter instance_info_count;
    Counter machine_cfg_count;
    Counter mmds_count;
    Counter vmm_version_count;
    Counter hotplug_memory_count;
  };
  struct Put {
    RequestCounter actions, boot_source, drive, logger, machine_cfg, cpu_cfg, metrics, network, mmds, vsock, pmem,
        serial, hotplug_memory;
  };
  struct Patch {
    RequestCounter drive, network, machine_cfg, mmds, hotplug_memory, pmem;
  };

  Get get;
  Put put;
  Patch patch;
  Counter deprecated_http_api_calls;

  /// Adds the groups deprecated_api, get_api_requests, patch_api_requests and put_api_requests.
  void register_in(MetricsRegistry& registry) const;
};

/// The counters of this process.
ApiMetrics& api_metrics();

}  // namespace wisp::api
