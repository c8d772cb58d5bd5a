#include "virtio/vsock/metrics.h"

namespace wisp {

std::vector<MetricField> vsock_metric_fields(const VsockMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"cfg_fails", &metrics.cfg_fails},
      {"rx_queue_event_fails", &metrics.rx_queue_event_fails},
      {"tx_queue_event_fails", &metrics.tx_queue_event_fails},
      {"ev_queue_event_fails", &metrics.ev_queue_event_fails},
      {"muxer_event_fails", &metrics.muxer_event_fails},
      {"conn_event_fails", &metrics.conn_event_fails},
      {"rx_queue_event_count", &metrics.rx_queue_event_count},
      {"tx_queue_event_count", &metrics.tx_queue_event_count},
      {"rx_bytes_count", &metrics.rx_bytes_count},
      {"tx_bytes_count", &metrics.tx_bytes_count},
      {"rx_packets_count", &metrics.rx_packets_count},
      {"tx_packets_count", &metrics.tx_packets_count},
      {"conns_added", &metrics.conns_added},
      {"conns_killed", &metrics.conns_killed},
      {"conns_removed", &metrics.conns_removed},
      {"killq_resync", &metrics.killq_resync},
      {"tx_flush_fails", &metrics.tx_flush_fails},
      {"tx_write_fails", &metrics.tx_write_fails},
      {"rx_read_fails", &metrics.rx_read_fails},
  };
}

}  // namespace wisp
