// MonitorMetrics: every group of the metrics line and who counts it.
//
// The set of groups and fields is part of the interface: clients parse the line with a fixed schema. Groups of devices
// that the machine does not have are there with zeros, which is the truth: nothing of theirs happened.
#pragma once

#include "vmm/base/metrics.h"
#include "vmm/cli/process.h"
#include "vmm/control/metrics_sink.h"
#include "vmm/machine/metrics.h"

namespace wisp {

struct ApiServerMetrics {
  Gauge process_startup_time_us;
  Gauge process_startup_time_cpu_us;
};

class MonitorMetrics {
 public:
  MetricsRegistry registry;
  ApiServerMetrics api_server;
  MachineMetrics machine;
  SignalMetrics signals;

  /// Registers all groups that exist from the start; the API adds its own.
  void register_all(const MetricsSink& sink);

 private:
  /// An assertion that fails ends the process before anything could be written, so no line shows more than 0.
  Counter panic_count_;
};

}  // namespace wisp
