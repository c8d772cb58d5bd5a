#include "virtio/net/metrics.h"

namespace wisp {

std::vector<MetricField> net_metric_fields(const NetMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"cfg_fails", &metrics.cfg_fails},
      {"no_rx_avail_buffer", &metrics.no_rx_avail_buffer},
      {"no_tx_avail_buffer", &metrics.no_tx_avail_buffer},
      {"event_fails", &metrics.event_fails},
      {"rx_queue_event_count", &metrics.rx_queue_event_count},
      {"rx_event_rate_limiter_count", &metrics.rx_event_rate_limiter_count},
      {"rx_rate_limiter_throttled", &metrics.rx_rate_limiter_throttled},
      {"rx_tap_event_count", &metrics.rx_tap_event_count},
      {"rx_bytes_count", &metrics.rx_bytes_count},
      {"rx_packets_count", &metrics.rx_packets_count},
      {"rx_fails", &metrics.rx_fails},
      {"rx_count", &metrics.rx_count},
      {"tap_read_fails", &metrics.tap_read_fails},
      {"tap_write_fails", &metrics.tap_write_fails},
      {"tap_write_agg", &metrics.tap_write_agg},
      {"tx_bytes_count", &metrics.tx_bytes_count},
      {"tx_malformed_frames", &metrics.tx_malformed_frames},
      {"tx_fails", &metrics.tx_fails},
      {"tx_count", &metrics.tx_count},
      {"tx_packets_count", &metrics.tx_packets_count},
      {"tx_queue_event_count", &metrics.tx_queue_event_count},
      {"tx_rate_limiter_event_count", &metrics.tx_rate_limiter_event_count},
      {"tx_rate_limiter_throttled", &metrics.tx_rate_limiter_throttled},
      {"tx_spoofed_mac_count", &metrics.tx_spoofed_mac_count},
      {"tx_remaining_reqs_count", &metrics.tx_remaining_reqs_count},
  };
}

}  // namespace wisp
