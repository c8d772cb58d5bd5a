// What a block device counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct BlockMetrics {
  Counter activate_fails;
  Counter cfg_fails;
  Counter no_avail_buffer;     ///< kicks that found nothing to do
  Counter event_fails;         ///< the ring was broken
  Counter execute_fails;       ///< malformed requests
  Counter invalid_reqs_count;  ///< requests answered with I/O error or unsupported
  Counter flush_count;
  Counter queue_event_count;
  Counter rate_limiter_event_count;
  Counter update_count;
  Counter update_fails;
  Counter read_bytes;
  Counter write_bytes;
  Counter read_count;
  Counter write_count;
  LatencyAggregate read_agg;
  LatencyAggregate write_agg;
  Counter rate_limiter_throttled_events;
  Counter io_engine_throttled_events;
  Counter remaining_reqs_count;  ///< requests left waiting when a batch ended
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> block_metric_fields(const BlockMetrics& metrics);

}  // namespace wisp
