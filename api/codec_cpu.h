// CPU template <-> JSON: PUT /cpu-config, section "cpu-config".
//
//   {"kvm_capabilities": ["121", "!56"],
//    "cpuid_modifiers": [{"leaf": "0x7", "subleaf": "0x0", "flags": 1,
//                         "modifiers": [{"register": "ebx", "bitmap": "0bxxxxxxxxxxxxxxx0xxxxxxxxxxxxxxxx"}]}],
//    "msr_modifiers": [{"addr": "0x10a", "bitmap": "0b1xx0"}]}
//
// Every section may be left out, none may be null. Numbers are strings that begin with 0x or 0b; capabilities are
// decimal, with "!" before those not to ask for. The rules of bitmaps are in vmm/config/cpu_template.h. An unknown
// section is refused (the sections of other processors too); unknown fields inside a modifier are ignored, as in the
// reference. Whether the host has what a template changes is found out at the start.
#pragma once

#include "api/json_value.h"
#include "vmm/base/result.h"
#include "vmm/config/cpu_template.h"

namespace wisp::api {

Result<CustomCpuTemplate> decode_cpu_config(const Json& json);

}  // namespace wisp::api
