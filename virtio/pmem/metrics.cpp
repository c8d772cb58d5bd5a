#include "virtio/pmem/metrics.h"

namespace wisp {

std::vector<MetricField> pmem_metric_fields(const PmemMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"cfg_fails", &metrics.cfg_fails},
      {"event_fails", &metrics.event_fails},
      {"queue_event_count", &metrics.queue_event_count},
      {"rate_limiter_throttled_events", &metrics.rate_limiter_throttled_events},
      {"rate_limiter_event_count", &metrics.rate_limiter_event_count},
  };
}

}  // namespace wisp
