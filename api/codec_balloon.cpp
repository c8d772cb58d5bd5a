#include "api/codec_balloon.h"

#include <array>
#include <nlohmann/json.hpp>

#include "api/fields.h"

namespace wisp::api {
namespace {

/// Indexed by the tag.
constexpr std::array<const char*, kBalloonStatCount> kStatNames = {
    "swap_in",          "swap_out",    "major_faults",        "minor_faults",     "free_memory", "total_memory",
    "available_memory", "disk_caches", "hugetlb_allocations", "hugetlb_failures", "oom_kill",    "alloc_stall",
    "async_scan",       "direct_scan", "async_reclaim",       "direct_reclaim"};

}  // namespace

Result<BalloonConfig> decode_balloon(const Json& json) {
  BalloonConfig balloon;
  FieldReader fields(json);
  fields.required("amount_mib", balloon.amount_mib);
  fields.required("deflate_on_oom", balloon.deflate_on_oom);
  fields.defaulted("stats_polling_interval_s", balloon.stats_polling_interval_s);
  fields.defaulted("free_page_hinting", balloon.free_page_hinting);
  fields.defaulted("free_page_reporting", balloon.free_page_reporting);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return balloon;
}

Result<PatchBalloon> decode_balloon_patch(const Json& json) {
  PatchBalloon patch;
  FieldReader fields(json);
  fields.required("amount_mib", patch.amount_mib);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return patch;
}

Result<PatchBalloonStatistics> decode_balloon_statistics_patch(const Json& json) {
  PatchBalloonStatistics patch;
  FieldReader fields(json);
  fields.required("stats_polling_interval_s", patch.stats_polling_interval_s);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return patch;
}

Result<StartBalloonHinting> decode_hinting_start(const Json& json) {
  bool acknowledge = true;
  FieldReader fields(json);
  fields.defaulted("acknowledge_on_stop", acknowledge);
  WISP_TRY(fields.finish(UnknownFields::Ignored));
  return StartBalloonHinting{acknowledge ? HintingStop::Acknowledge : HintingStop::WaitForOperator};
}

void write_balloon(JsonWriter& json, const BalloonConfig& balloon) {
  json.open_object();
  json.key("amount_mib").number(balloon.amount_mib);
  json.key("deflate_on_oom").truth(balloon.deflate_on_oom);
  json.key("stats_polling_interval_s").number(balloon.stats_polling_interval_s);
  json.key("free_page_hinting").truth(balloon.free_page_hinting);
  json.key("free_page_reporting").truth(balloon.free_page_reporting);
  json.close_object();
}

void write_balloon_statistics(JsonWriter& json, const BalloonStatistics& statistics) {
  json.open_object();
  json.key("target_pages").number(statistics.target_pages);
  json.key("actual_pages").number(statistics.actual_pages);
  json.key("target_mib").number(statistics.target_mib);
  json.key("actual_mib").number(statistics.actual_mib);
  for (std::size_t index = 0; index < kBalloonStatCount; ++index) {
    if (statistics.guest[index]) {
      json.key(kStatNames[index]).number(*statistics.guest[index]);
    }
  }
  json.close_object();
}

void write_hinting_status(JsonWriter& json, const BalloonHintingStatus& status) {
  json.open_object();
  json.key("host_cmd").number(status.host_command);
  json.key("guest_cmd").optional_number(status.guest_command);
  json.close_object();
}

}  // namespace wisp::api
