// What the vsock device counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct VsockMetrics {
  Counter activate_fails;
  Counter cfg_fails;
  Counter rx_queue_event_fails;
  Counter tx_queue_event_fails;
  Counter ev_queue_event_fails;
  Counter muxer_event_fails;
  Counter conn_event_fails;
  Counter rx_queue_event_count;
  Counter tx_queue_event_count;
  Counter rx_bytes_count;
  Counter tx_bytes_count;
  Counter rx_packets_count;
  Counter tx_packets_count;
  Counter conns_added;
  Counter conns_killed;
  Counter conns_removed;
  Counter killq_resync;
  Counter tx_flush_fails;
  Counter tx_write_fails;
  Counter rx_read_fails;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> vsock_metric_fields(const VsockMetrics& metrics);

}  // namespace wisp
