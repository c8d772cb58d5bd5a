// Rate limiters in JSON: {"bandwidth": bucket, "ops": bucket}, both optional; a bucket is {"size", "refill_time",
// "one_time_burst"}. A bucket with a size or refill time of zero is off.
#pragma once

#include <optional>
#include <string_view>

#include "api/fields.h"
#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/limiter.h"

namespace wisp::api {

Result<TokenBucketConfig> decode_bucket(const Json& bucket);
Result<RateLimiterConfig> decode_limiter(const Json& limiter);
/// The member `name` of an object, absent or null: no limit.
void read_limiter(FieldReader& fields, std::string_view name, RateLimiterConfig& out);
/// The limiter as it comes back: null when nothing is limited.
void write_limiter(JsonWriter& json, const RateLimiterConfig& limits);
/// Word for word as it was given.
void write_limiter_as_given(JsonWriter& json, const RateLimiterConfig& limits);

}  // namespace wisp::api
