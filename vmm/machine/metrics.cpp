#include "vmm/machine/metrics.h"

#include "virtio/block/metrics.h"

namespace wisp {

void OperationLatencies::register_in(MetricsRegistry& registry) const {
  registry.add_group("latencies_us", {{"full_create_snapshot", &full_create_snapshot},
                                      {"diff_create_snapshot", &diff_create_snapshot},
                                      {"load_snapshot", &load_snapshot},
                                      {"pause_vm", &pause_vm},
                                      {"resume_vm", &resume_vm},
                                      {"vmm_full_create_snapshot", &vmm_full_create_snapshot},
                                      {"vmm_diff_create_snapshot", &vmm_diff_create_snapshot},
                                      {"vmm_load_snapshot", &vmm_load_snapshot},
                                      {"vmm_pause_vm", &vmm_pause_vm},
                                      {"vmm_resume_vm", &vmm_resume_vm}});
}

void MachineMetrics::register_in(MetricsRegistry& registry) const {
  vcpu.register_in(registry);
  registry.add_group("uart", metric_fields(uart));
  registry.add_group("i8042", metric_fields(i8042));
  latencies_us.register_in(registry);
  static const BlockMetrics kNoDrive;
  registry.add_kind("block", metric_fields(kNoDrive));
}

}  // namespace wisp
