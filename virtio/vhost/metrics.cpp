#include "virtio/vhost/metrics.h"

namespace wisp {

std::vector<MetricField> vhost_user_block_metric_fields(const VhostUserBlockMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"cfg_fails", &metrics.cfg_fails},
      {"init_time_us", &metrics.init_time_us},
      {"activate_time_us", &metrics.activate_time_us},
      {"config_change_time_us", &metrics.config_change_time_us},
  };
}

}  // namespace wisp
