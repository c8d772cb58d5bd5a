// A persistent memory device as the operator asks for it: plain data.
#pragma once

#include <string>

#include "vmm/config/limiter.h"

namespace wisp {

struct PmemConfig {
  std::string id;
  std::string path_on_host;
  bool root_device = false;
  bool read_only = false;
  RateLimiterConfig limits = {};
  bool limits_given = false;  ///< a limiter was named, even one that limits nothing; it is shown as it was given
};

struct PmemPatch {
  std::string id;
  RateLimiterPatch limits;
};

}  // namespace wisp
