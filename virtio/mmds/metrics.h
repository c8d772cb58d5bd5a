// What the metadata service counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct MmdsMetrics {
  Counter rx_accepted;
  Counter rx_accepted_err;
  Counter rx_accepted_unusual;
  Counter rx_bad_eth;
  Counter rx_invalid_token;
  Counter rx_no_token;
  Counter rx_count;
  Counter tx_bytes;
  Counter tx_count;
  Counter tx_errors;
  Counter tx_frames;
  Counter connections_created;
  Counter connections_destroyed;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> mmds_metric_fields(const MmdsMetrics& metrics);

}  // namespace wisp
