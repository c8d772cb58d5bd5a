#include "api/codec_limiter.h"

#include <nlohmann/json.hpp>
#include <string>

namespace wisp::api {
namespace {

void write_bucket(JsonWriter& json, const std::optional<TokenBucketConfig>& bucket) {
  if (!bucket) {
    json.null();
    return;
  }
  json.open_object();
  json.key("size").number(bucket->size);
  json.key("one_time_burst").optional_number(bucket->one_time_burst);
  json.key("refill_time").number(bucket->refill_time_ms);
  json.close_object();
}

void read_bucket(FieldReader& fields, std::string_view name, std::optional<TokenBucketConfig>& out) {
  const Json* bucket = fields.non_null_member(name);
  if (bucket == nullptr) {
    return;
  }
  Result<TokenBucketConfig> decoded = decode_bucket(*bucket);
  if (decoded.ok()) {
    out = decoded.value();
  } else {
    fields.fail(std::move(decoded).error());
  }
}

}  // namespace

Result<TokenBucketConfig> decode_bucket(const Json& bucket) {
  TokenBucketConfig config;
  FieldReader fields(bucket);
  fields.required("size", config.size);
  fields.required("refill_time", config.refill_time_ms);
  fields.optional("one_time_burst", config.one_time_burst);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  return config;
}

Result<RateLimiterConfig> decode_limiter(const Json& limiter) {
  RateLimiterConfig config;
  FieldReader fields(limiter);
  read_bucket(fields, "bandwidth", config.bandwidth);
  read_bucket(fields, "ops", config.ops);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return config;
}

void read_limiter(FieldReader& fields, std::string_view name, RateLimiterConfig& out) {
  const Json* limiter = fields.non_null_member(name);
  if (limiter == nullptr) {
    return;
  }
  Result<RateLimiterConfig> decoded = decode_limiter(*limiter);
  if (decoded.ok()) {
    out = decoded.value();
  } else {
    fields.fail(std::move(decoded).error());
  }
}

void write_limiter(JsonWriter& json, const RateLimiterConfig& limits) {
  const RateLimiterConfig shown{effective(limits.bandwidth), effective(limits.ops)};
  if (!shown.bandwidth && !shown.ops) {
    json.null();
    return;
  }
  write_limiter_as_given(json, shown);
}

void write_limiter_as_given(JsonWriter& json, const RateLimiterConfig& limits) {
  json.open_object();
  json.key("bandwidth");
  write_bucket(json, limits.bandwidth);
  json.key("ops");
  write_bucket(json, limits.ops);
  json.close_object();
}

}  // namespace wisp::api
