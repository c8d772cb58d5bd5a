#include "virtio/mmds/metrics.h"

namespace wisp {

std::vector<MetricField> mmds_metric_fields(const MmdsMetrics& metrics) {
  return {
      {"rx_accepted", &metrics.rx_accepted},
      {"rx_accepted_err", &metrics.rx_accepted_err},
      {"rx_accepted_unusual", &metrics.rx_accepted_unusual},
      {"rx_bad_eth", &metrics.rx_bad_eth},
      {"rx_invalid_token", &metrics.rx_invalid_token},
      {"rx_no_token", &metrics.rx_no_token},
      {"rx_count", &metrics.rx_count},
      {"tx_bytes", &metrics.tx_bytes},
      {"tx_count", &metrics.tx_count},
      {"tx_errors", &metrics.tx_errors},
      {"tx_frames", &metrics.tx_frames},
      {"connections_created", &metrics.connections_created},
      {"connections_destroyed", &metrics.connections_destroyed},
  };
}

}  // namespace wisp
