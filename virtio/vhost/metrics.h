// What a vhost-user block device counts. The names are part of the interface: they appear in every metrics line. The
// requests themselves are the back end's to count.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct VhostUserBlockMetrics {
  Counter activate_fails;       ///< activations that failed, and back ends that were lost
  Counter cfg_fails;            ///< writes to the configuration space, and configurations that could not be read anew
  Gauge init_time_us;           ///< connecting and negotiating
  Gauge activate_time_us;       ///< from the driver's DRIVER_OK to the back end's last answer
  Gauge config_change_time_us;  ///< reading the configuration anew
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> vhost_user_block_metric_fields(const VhostUserBlockMetrics& metrics);

}  // namespace wisp
