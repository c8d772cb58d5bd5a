#include "virtio/mem/metrics.h"

namespace wisp {

std::vector<MetricField> mem_metric_fields(const MemMetrics& metrics) {
  return {
      {"activate_fails", &metrics.activate_fails},
      {"queue_event_fails", &metrics.queue_event_fails},
      {"queue_event_count", &metrics.queue_event_count},
      {"plug_count", &metrics.plug_count},
      {"plug_bytes", &metrics.plug_bytes},
      {"plug_fails", &metrics.plug_fails},
      {"plug_agg", &metrics.plug_agg},
      {"unplug_count", &metrics.unplug_count},
      {"unplug_bytes", &metrics.unplug_bytes},
      {"unplug_fails", &metrics.unplug_fails},
      {"unplug_discard_fails", &metrics.unplug_discard_fails},
      {"unplug_agg", &metrics.unplug_agg},
      {"state_count", &metrics.state_count},
      {"state_fails", &metrics.state_fails},
      {"state_agg", &metrics.state_agg},
      {"unplug_all_count", &metrics.unplug_all_count},
      {"unplug_all_fails", &metrics.unplug_all_fails},
      {"unplug_all_agg", &metrics.unplug_all_agg},
  };
}

}  // namespace wisp
