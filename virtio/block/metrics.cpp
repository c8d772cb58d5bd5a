#include "virtio/block/metrics.h"

namespace wisp {

std::vector<MetricField> block_metric_fields(const BlockMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"cfg_fails", &metrics.cfg_fails},
      {"no_avail_buffer", &metrics.no_avail_buffer},
      {"event_fails", &metrics.event_fails},
      {"execute_fails", &metrics.execute_fails},
      {"invalid_reqs_count", &metrics.invalid_reqs_count},
      {"flush_count", &metrics.flush_count},
      {"queue_event_count", &metrics.queue_event_count},
      {"rate_limiter_event_count", &metrics.rate_limiter_event_count},
      {"update_count", &metrics.update_count},
      {"update_fails", &metrics.update_fails},
      {"read_bytes", &metrics.read_bytes},
      {"write_bytes", &metrics.write_bytes},
      {"read_count", &metrics.read_count},
      {"write_count", &metrics.write_count},
      {"read_agg", &metrics.read_agg},
      {"write_agg", &metrics.write_agg},
      {"rate_limiter_throttled_events", &metrics.rate_limiter_throttled_events},
      {"io_engine_throttled_events", &metrics.io_engine_throttled_events},
      {"remaining_reqs_count", &metrics.remaining_reqs_count},
  };
}

}  // namespace wisp
