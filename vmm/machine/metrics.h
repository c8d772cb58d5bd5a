// MachineMetrics: what the machine counts. It outlives every machine, so that a flush can name all fields at any time.
#pragma once

#include "vmm/base/metrics.h"

namespace wisp {

struct VcpuMetrics {
  Counter exit_io_in;
  Counter exit_io_out;
  Counter exit_mmio_read;
  Counter exit_mmio_write;
  Counter failures;
  Counter kvmclock_ctrl_fails;
  LatencyAggregate exit_io_in_agg;
  LatencyAggregate exit_io_out_agg;
  LatencyAggregate exit_mmio_read_agg;
  LatencyAggregate exit_mmio_write_agg;

  void register_in(MetricsRegistry& registry) const {
    registry.add_group("vcpu", {{"exit_io_in", &exit_io_in},
                                {"exit_io_out", &exit_io_out},
                                {"exit_mmio_read", &exit_mmio_read},
                                {"exit_mmio_write", &exit_mmio_write},
                                {"failures", &failures},
                                {"kvmclock_ctrl_fails", &kvmclock_ctrl_fails},
                                {"exit_io_in_agg", &exit_io_in_agg},
                                {"exit_io_out_agg", &exit_io_out_agg},
                                {"exit_mmio_read_agg", &exit_mmio_read_agg},
                                {"exit_mmio_write_agg", &exit_mmio_write_agg}});
  }
};

/// Durations of whole operations, in microseconds; the last one of each kind. Without a prefix as the client sees it,
/// with "vmm_" inside the monitor.
struct OperationLatencies {
  Gauge full_create_snapshot;
  Gauge diff_create_snapshot;
  Gauge load_snapshot;
  Gauge pause_vm;
  Gauge resume_vm;
  Gauge vmm_full_create_snapshot;
  Gauge vmm_diff_create_snapshot;
  Gauge vmm_load_snapshot;
  Gauge vmm_pause_vm;
  Gauge vmm_resume_vm;

  void register_in(MetricsRegistry& registry) const;
};

/// Those of devices that every machine has are there as zeros until a machine replaces them (Vm::register_in).
struct MachineMetrics {
  VcpuMetrics vcpu;
  OperationLatencies latencies_us;

  void register_in(MetricsRegistry& registry) const;
};

}  // namespace wisp
