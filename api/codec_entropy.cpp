#include "api/codec_entropy.h"

#include <nlohmann/json.hpp>

#include "api/codec_limiter.h"
#include "api/fields.h"

namespace wisp::api {

Result<EntropyConfig> decode_entropy(const Json& json) {
  EntropyConfig entropy;
  FieldReader fields(json);
  read_limiter(fields, "rate_limiter", entropy.limits);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return entropy;
}

void write_entropy(JsonWriter& json, const EntropyConfig& entropy) {
  json.open_object();
  json.key("rate_limiter");
  write_limiter(json, entropy.limits);
  json.close_object();
}

}  // namespace wisp::api
