// What the entropy device counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct EntropyMetrics {
  Counter activate_fails;
  Counter entropy_event_fails;
  Counter entropy_event_count;
  Counter entropy_bytes;
  Counter host_rng_fails;
  Counter entropy_rate_limiter_throttled;
  Counter rate_limiter_event_count;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> entropy_metric_fields(const EntropyMetrics& metrics);

}  // namespace wisp
