// MetricsSink: the metrics file. One JSON line right after the start, one every kMetricsPeriodS, on FlushMetrics and at
// the end. Writing never blocks: a full FIFO loses the line, which is counted.
#pragma once

#include <cstdint>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/metrics.h"
#include "vmm/config/observe.h"

namespace wisp {

inline constexpr std::uint32_t kMetricsPeriodS = 60;

class MetricsSink {
 public:
  /// Counters about the metrics themselves, the group "logger" of the line shares them.
  struct OwnMetrics {
    Counter missed_metrics_count;
    Counter metrics_fails;
  };

  MetricsSink(MetricsRegistry& registry, std::string instance_id)
      : registry_(registry), instance_id_(std::move(instance_id)) {}

  /// Opens the file; once only.
  Status configure(const MetricsConfig& config);
  /// The same with an open output; config.metrics_path is not looked at.
  Status configure(const MetricsConfig& config, Fd sink);
  bool configured() const { return fd_.valid(); }
  /// Writes one line; without a file nothing is written and that is success.
  Status flush();
  const OwnMetrics& own_metrics() const { return own_metrics_; }

 private:
  MetricsRegistry& registry_;
  std::string instance_id_;
  Fd fd_;
  bool torn_ = false;  ///< the last write ended within a line: a full pipe or file system took only a part
  Histograms histograms_ = Histograms::Hidden;
  std::string extra_members_;
  OwnMetrics own_metrics_;
};

}  // namespace wisp
