#include "vmm/machine/metrics.h"

#include "virtio/block/metrics.h"
#include "vmm/legacy/i8042.h"
#include "vmm/legacy/serial.h"

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
  static const SerialMetrics kNoSerial;
  static const I8042Metrics kNoKeyboard;
  registry.add_group("uart", kNoSerial.fields());
  registry.add_group("i8042", kNoKeyboard.fields());
  latencies_us.register_in(registry);
  static const BlockMetrics kNoDrive;
  registry.add_kind("block", block_metric_fields(kNoDrive));
}

}  // namespace wisp
