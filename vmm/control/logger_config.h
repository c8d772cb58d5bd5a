// Applies a logger configuration to the process-wide log.
#pragma once

#include "vmm/base/result.h"
#include "vmm/config/observe.h"

namespace wisp {

/// The new file is opened before anything changes; a request without a level sets Info again.
Status apply_logger_config(const LoggerConfig& config);

}  // namespace wisp
