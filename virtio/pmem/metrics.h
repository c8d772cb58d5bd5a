// What a persistent memory device counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct PmemMetrics {
  Counter activate_fails;
  Counter cfg_fails;
  Counter event_fails;
  Counter queue_event_count;
  Counter rate_limiter_throttled_events;
  Counter rate_limiter_event_count;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> pmem_metric_fields(const PmemMetrics& metrics);

}  // namespace wisp
