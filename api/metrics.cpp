#include "api/metrics.h"

namespace wisp::api {

ApiMetrics& api_metrics() {
  static ApiMetrics metrics;
  return metrics;
}

void ApiMetrics::register_in(MetricsRegistry& registry) const {
  registry.add_group("deprecated_api", {{"deprecated_http_api_calls", &deprecated_http_api_calls}});
  registry.add_group("get_api_requests", {
                                             {"instance_info_count", &get.instance_info_count},
                                             {"machine_cfg_count", &get.machine_cfg_count},
                                             {"mmds_count", &get.mmds_count},
                                             {"vmm_version_count", &get.vmm_version_count},
                                             {"hotplug_memory_count", &get.hotplug_memory_count},
                                         });
  registry.add_group("patch_api_requests", {
                                               {"drive_count", &patch.drive.count},
                                               {"drive_fails", &patch.drive.fails},
                                               {"network_count", &patch.network.count},
                                               {"network_fails", &patch.network.fails},
                                               {"machine_cfg_count", &patch.machine_cfg.count},
                                               {"machine_cfg_fails", &patch.machine_cfg.fails},
                                               {"mmds_count", &patch.mmds.count},
                                               {"mmds_fails", &patch.mmds.fails},
                                               {"hotplug_memory_count", &patch.hotplug_memory.count},
                                               {"hotplug_memory_fails", &patch.hotplug_memory.fails},
                                               {"pmem_count", &patch.pmem.count},
                                               {"pmem_fails", &patch.pmem.fails},
                                           });
  registry.add_group("put_api_requests", {
                                             {"actions_count", &put.actions.count},
                                             {"actions_fails", &put.actions.fails},
                                             {"boot_source_count", &put.boot_source.count},
                                             {"boot_source_fails", &put.boot_source.fails},
                                             {"drive_count", &put.drive.count},
                                             {"drive_fails", &put.drive.fails},
                                             {"logger_count", &put.logger.count},
                                             {"logger_fails", &put.logger.fails},
                                             {"machine_cfg_count", &put.machine_cfg.count},
                                             {"machine_cfg_fails", &put.machine_cfg.fails},
                                             {"cpu_cfg_count", &put.cpu_cfg.count},
                                             {"cpu_cfg_fails", &put.cpu_cfg.fails},
                                             {"metrics_count", &put.metrics.count},
                                             {"metrics_fails", &put.metrics.fails},
                                             {"network_count", &put.network.count},
                                             {"network_fails", &put.network.fails},
                                             {"mmds_count", &put.mmds.count},
                                             {"mmds_fails", &put.mmds.fails},
                                             {"vsock_count", &put.vsock.count},
                                             {"vsock_fails", &put.vsock.fails},
                                             {"pmem_count", &put.pmem.count},
                                             {"pmem_fails", &put.pmem.fails},
                                             {"serial_count", &put.serial.count},
                                             {"serial_fails", &put.serial.fails},
                                             {"hotplug_memory_count", &put.hotplug_memory.count},
                                             {"hotplug_memory_fails", &put.hotplug_memory.fails},
                                         });
}

}  // namespace wisp::api
