#include "virtio/balloon/metrics.h"

namespace wisp {

std::vector<MetricField> balloon_metric_fields(const BalloonMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"inflate_count", &metrics.inflate_count},
      {"stats_updates_count", &metrics.stats_updates_count},
      {"stats_update_fails", &metrics.stats_update_fails},
      {"deflate_count", &metrics.deflate_count},
      {"event_fails", &metrics.event_fails},
      {"free_page_report_count", &metrics.free_page_report_count},
      {"free_page_report_freed", &metrics.free_page_report_freed},
      {"free_page_report_fails", &metrics.free_page_report_fails},
      {"free_page_hint_count", &metrics.free_page_hint_count},
      {"free_page_hint_freed", &metrics.free_page_hint_freed},
      {"free_page_hint_fails", &metrics.free_page_hint_fails},
  };
}

}  // namespace wisp
