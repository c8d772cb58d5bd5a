// Boot source <-> JSON: PUT /boot-source, section "boot-source".
#pragma once

#include <optional>

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/boot.h"

namespace wisp::api {

/// A NUL in a path or in the kernel arguments is refused: it would end the text early in the kernel and in system
/// calls.
Result<BootSource> decode_boot_source(const Json& json);
/// Without a boot source the kernel's path is written as an empty text, as the API has it.
void write_boot_source(JsonWriter& json, const std::optional<BootSource>& source);

}  // namespace wisp::api
