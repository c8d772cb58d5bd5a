#include "api/codec_limiter.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "api/fields.h"

namespace wisp::api {

Status refuse_active_bucket(std::string_view name, const Json& bucket) {
  std::uint64_t size = 0;
  std::uint64_t refill_time_ms = 0;
  std::optional<std::uint64_t> one_time_burst;
  FieldReader fields(bucket);
  fields.required("size", size);
  fields.required("refill_time", refill_time_ms);
  fields.optional("one_time_burst", one_time_burst);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  if (size != 0 && refill_time_ms != 0) {
    return not_supported_yet("The field `" + std::string(name) + "` with a limit");
  }
  return {};
}

Status refuse_active_limiter(std::string_view name, const Json& limiter) {
  FieldReader fields(limiter);
  for (const std::string_view kind : {"bandwidth", "ops"}) {
    if (const Json* bucket = fields.non_null_member(kind); bucket != nullptr) {
      fields.check(refuse_active_bucket(name, *bucket));
    }
  }
  return fields.finish(UnknownFields::Refused);
}

}  // namespace wisp::api
