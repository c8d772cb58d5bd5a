// Rate limiters in JSON: wisp has none yet, so only those that limit nothing are accepted.
//
// A limiter is {"bandwidth": bucket, "ops": bucket}, both optional; a bucket is {"size", "refill_time",
// "one_time_burst"}. A bucket with a size or refill time of zero is off.
#pragma once

#include <string_view>

#include "api/json_value.h"
#include "vmm/base/result.h"

namespace wisp::api {

/// A malformed limiter and one that would limit are both refused; `name` is the field for the text.
Status refuse_active_limiter(std::string_view name, const Json& limiter);
/// The same for a field that holds a bare bucket (the serial console).
Status refuse_active_bucket(std::string_view name, const Json& bucket);

}  // namespace wisp::api
