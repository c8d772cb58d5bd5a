#include "vmm/cli/monitor_metrics.h"

#include "vmm/base/log.h"

namespace wisp {
void MonitorMetrics::register_all(const MetricsSink& sink) {
  registry.add_group("api_server", {{"process_startup_time_us", &api_server.process_startup_time_us},
                                    {"process_startup_time_cpu_us", &api_server.process_startup_time_cpu_us}});
  machine.register_in(registry);
  signals.register_in(registry);
  registry.add_group("logger", {{"missed_metrics_count", &sink.own_metrics().missed_metrics_count},
                                {"metrics_fails", &sink.own_metrics().metrics_fails},
                                {"missed_log_count", &log::metrics().missed_log_count},
                                {"rate_limited_log_count", &log::metrics().rate_limited_log_count}});
  registry.add_group("vmm", {{"panic_count", &panic_count_}});
}

}  // namespace wisp
