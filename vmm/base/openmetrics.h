// The metrics as OpenMetrics text (OpenMetrics 1.0): what Prometheus and its kin scrape.
//
//   std::string page = openmetrics_text(registry, {.instance_id = "vm-1"});
//
// It is made from the same groups as the JSON line, by rules and without a table of its own:
//   group uart, Counter write_count      wisp_uart_write_total
//   group block_rootfs, Counter read_bytes   wisp_block_read_bytes_total{id="rootfs"}     unit bytes
//   ... LatencyAggregate read_agg        wisp_block_read_duration_seconds, a histogram     unit seconds
//   group latencies_us, Gauge pause_vm   wisp_latencies_pause_vm_seconds                   unit seconds
// Counters tell all that was ever counted, not the difference that a line of JSON tells, and reading them changes
// nothing: scrapers and the metrics file do not disturb each other. Sums over devices are left to who reads it.
#pragma once

#include <string>

#include "vmm/base/metrics.h"

namespace wisp {

inline constexpr const char* kOpenMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct OpenMetricsLabels {
  std::string instance_id;
};

std::string openmetrics_text(MetricsRegistry& registry, const OpenMetricsLabels& labels);

}  // namespace wisp
