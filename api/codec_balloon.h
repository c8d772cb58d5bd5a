// The balloon in JSON: configuration, changes, statistics and hinting.
#pragma once

#include <cstdint>

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/command.h"

namespace wisp::api {

Result<BalloonConfig> decode_balloon(const Json& json);
Result<PatchBalloon> decode_balloon_patch(const Json& json);
Result<PatchBalloonStatistics> decode_balloon_statistics_patch(const Json& json);
Result<StartBalloonHinting> decode_hinting_start(const Json& json);

void write_balloon(JsonWriter& json, const BalloonConfig& balloon);
void write_balloon_statistics(JsonWriter& json, const BalloonStatistics& statistics);
void write_hinting_status(JsonWriter& json, const BalloonHintingStatus& status);

}  // namespace wisp::api
