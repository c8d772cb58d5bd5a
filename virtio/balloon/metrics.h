// What the balloon counts. The names are part of the interface: they appear in every metrics line.
#pragma once

#include <vector>

#include "vmm/base/metrics.h"

namespace wisp {

struct BalloonMetrics {
  Counter activate_fails;
  Counter inflate_count;
  Counter stats_updates_count;
  Counter stats_update_fails;
  Counter deflate_count;
  Counter event_fails;
  Counter free_page_report_count;
  Counter free_page_report_freed;
  Counter free_page_report_fails;
  Counter free_page_hint_count;
  Counter free_page_hint_freed;
  Counter free_page_hint_fails;
};

/// The fields of one device under their public names, in their public order. `metrics` must outlive their use.
std::vector<MetricField> balloon_metric_fields(const BalloonMetrics& metrics);

}  // namespace wisp
