#include "virtio/rng/metrics.h"

namespace wisp {

std::vector<MetricField> entropy_metric_fields(const EntropyMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"entropy_event_fails", &metrics.entropy_event_fails},
      {"entropy_event_count", &metrics.entropy_event_count},
      {"entropy_bytes", &metrics.entropy_bytes},
      {"host_rng_fails", &metrics.host_rng_fails},
      {"entropy_rate_limiter_throttled", &metrics.entropy_rate_limiter_throttled},
      {"rate_limiter_event_count", &metrics.rate_limiter_event_count},
  };
}

}  // namespace wisp
