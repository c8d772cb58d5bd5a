// What the vCPU threads count.
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

}  // namespace wisp
