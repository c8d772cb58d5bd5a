// The entropy device as the operator asks for it: plain data.
#pragma once

#include "vmm/config/limiter.h"

namespace wisp {

struct EntropyConfig {
  RateLimiterConfig limits = {};
};

}  // namespace wisp
