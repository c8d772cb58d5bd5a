#include "vmm/machine/metrics.h"

#include "virtio/balloon/metrics.h"
#include "virtio/block/metrics.h"
#include "virtio/mem/metrics.h"
#include "virtio/mmds/metrics.h"
#include "virtio/net/metrics.h"
#include "virtio/pmem/metrics.h"
#include "virtio/rng/metrics.h"
#include "virtio/vsock/metrics.h"
#include "vmm/bus/interrupt_line.h"
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

namespace {

/// What a machine without these devices shows.
struct AbsentDevices {
  BalloonMetrics balloon;
  BlockMetrics block;
  EntropyMetrics entropy;
  MemMetrics memory;
  MmdsMetrics mmds;
  NetMetrics net;
  PmemMetrics pmem;
  VsockMetrics vsock;
};

void register_device_zeros(MetricsRegistry& registry) {
  static const AbsentDevices kNone;
  registry.add_kind("block", block_metric_fields(kNone.block));
  registry.add_kind("net", net_metric_fields(kNone.net));
  registry.add_kind("pmem", pmem_metric_fields(kNone.pmem));
  registry.add_group("balloon", balloon_metric_fields(kNone.balloon));
  registry.add_group("mmds", mmds_metric_fields(kNone.mmds));
  registry.add_group("vsock", vsock_metric_fields(kNone.vsock));
  registry.add_group("entropy", entropy_metric_fields(kNone.entropy));
  registry.add_group("memory_hotplug", mem_metric_fields(kNone.memory));
}

}  // namespace

void MachineMetrics::register_in(MetricsRegistry& registry) const {
  vcpu.register_in(registry);
  static const SerialMetrics kNoSerial;
  static const I8042Metrics kNoKeyboard;
  registry.add_group("uart", kNoSerial.fields());
  registry.add_group("i8042", kNoKeyboard.fields());
  latencies_us.register_in(registry);
  register_device_zeros(registry);
  const InterruptMetrics& interrupts = interrupt_metrics();
  registry.add_group("interrupts",
                     {{"triggers", &interrupts.triggers}, {"config_updates", &interrupts.config_updates}});
}

}  // namespace wisp
