// Logger, metrics and serial console as the operator asks for them: plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "vmm/config/limiter.h"

namespace wisp {

enum class LogLevel : int { Off = 0, Error = 1, Warn = 2, Info = 3, Debug = 4, Trace = 5 };

/// Absent members keep their setting, except the level: a request without one sets Info again.
struct LoggerConfig {
  std::optional<std::string> log_path;
  std::optional<LogLevel> level;
  std::optional<bool> show_level;
  std::optional<bool> show_log_origin;
  std::optional<std::string> module;
};

struct MetricsConfig {
  std::string metrics_path;
  bool emit_id = false;
  std::map<std::string, std::string> properties = {};
  bool latency_histograms = false;  ///< adds the member "latency_histograms" to each line
};

struct SerialConfig {
  /// Absent: output on standard output, input from standard input when that is a terminal or FIFO.
  std::optional<std::string> serial_out_path;
  /// Tokens are bytes; output beyond it is dropped and counted.
  std::optional<TokenBucketConfig> limit;
};

}  // namespace wisp
