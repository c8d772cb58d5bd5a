// What a network device counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct NetMetrics {
  Counter activate_fails;
  Counter cfg_fails;
  Counter no_rx_avail_buffer;
  Counter no_tx_avail_buffer;
  Counter event_fails;
  Counter rx_queue_event_count;
  Counter rx_event_rate_limiter_count;
  Counter rx_rate_limiter_throttled;
  Counter rx_tap_event_count;
  Counter rx_bytes_count;
  Counter rx_packets_count;
  Counter rx_fails;
  Counter rx_count;
  Counter tap_read_fails;
  Counter tap_write_fails;
  LatencyAggregate tap_write_agg;
  Counter tx_bytes_count;
  Counter tx_malformed_frames;
  Counter tx_fails;
  Counter tx_count;
  Counter tx_packets_count;
  Counter tx_queue_event_count;
  Counter tx_rate_limiter_event_count;
  Counter tx_rate_limiter_throttled;
  Counter tx_spoofed_mac_count;
  Counter tx_remaining_reqs_count;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> net_metric_fields(const NetMetrics& metrics);

}  // namespace wisp
