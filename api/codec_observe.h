// Logger, metrics and serial console from JSON: PUT /logger, /metrics, /serial, sections "logger" and "metrics".
#pragma once

#include "api/json_value.h"
#include "vmm/base/result.h"
#include "vmm/config/observe.h"

namespace wisp::api {

/// The level is read without regard to case; "Warning" is "Warn".
Result<LoggerConfig> decode_logger(const Json& json);
/// Unknown fields are ignored here, as the API has it.
Result<MetricsConfig> decode_metrics(const Json& json);
Result<SerialConfig> decode_serial(const Json& json);

}  // namespace wisp::api
