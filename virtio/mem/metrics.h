// What the memory hot-plug device counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct MemMetrics {
  Counter activate_fails;
  Counter queue_event_fails;
  Counter queue_event_count;
  Counter plug_count;
  Counter plug_bytes;
  Counter plug_fails;
  LatencyAggregate plug_agg;
  Counter unplug_count;
  Counter unplug_bytes;
  Counter unplug_fails;
  Counter unplug_discard_fails;
  LatencyAggregate unplug_agg;
  Counter state_count;
  Counter state_fails;
  LatencyAggregate state_agg;
  Counter unplug_all_count;
  Counter unplug_all_fails;
  LatencyAggregate unplug_all_agg;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> mem_metric_fields(const MemMetrics& metrics);

}  // namespace wisp
