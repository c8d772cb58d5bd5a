#include "api/codec_observe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/codec_limiter.h"
#include "api/fields.h"

namespace wisp::api {
namespace {

constexpr EnumName<LogLevel> kLogLevels[] = {
    {"Off", LogLevel::Off},   {"Trace", LogLevel::Trace}, {"Debug", LogLevel::Debug},  {"Info", LogLevel::Info},
    {"Warn", LogLevel::Warn}, {"Error", LogLevel::Error}, {"Warning", LogLevel::Warn},
};

char to_lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return to_lower(a) == to_lower(b); });
}

void read_level(FieldReader& fields, LoggerConfig& config) {
  std::optional<std::string> text;
  fields.optional("level", text);
  if (!text) {
    return;
  }
  std::vector<std::string_view> known;
  for (const auto& entry : kLogLevels) {
    if (equal_ignoring_case(*text, entry.name)) {
      config.level = entry.value;
      return;
    }
    known.push_back(entry.name);
  }
  fields.fail(unknown_variant(*text, known));
}

}  // namespace

Result<LoggerConfig> decode_logger(const Json& json) {
  LoggerConfig config;
  FieldReader fields(json);
  fields.optional("log_path", config.log_path);
  read_level(fields, config);
  fields.optional("show_level", config.show_level);
  fields.optional("show_log_origin", config.show_log_origin);
  fields.optional("module", config.module);
  fields.refuse_nul("log_path", config.log_path.value_or(""));
  fields.refuse_nul("module", config.module.value_or(""));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return config;
}

Result<MetricsConfig> decode_metrics(const Json& json) {
  MetricsConfig config;
  FieldReader fields(json);
  fields.required("metrics_path", config.metrics_path);
  fields.defaulted("emit_id", config.emit_id);
  fields.defaulted("latency_histograms", config.latency_histograms);
  fields.optional("properties", config.properties);
  fields.refuse_nul("metrics_path", config.metrics_path);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  return config;
}

Result<SerialConfig> decode_serial(const Json& json) {
  SerialConfig config;
  FieldReader fields(json);
  fields.optional("serial_out_path", config.serial_out_path);
  if (const Json* bucket = fields.non_null_member("rate_limiter"); bucket != nullptr) {
    Result<TokenBucketConfig> limit = decode_bucket(*bucket);
    if (limit.ok()) {
      config.limit = limit.value();
    } else {
      fields.fail(std::move(limit).error());
    }
  }
  fields.refuse_nul("serial_out_path", config.serial_out_path.value_or(""));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return config;
}

}  // namespace wisp::api
