// The report of `wisp doctor --json`:
//
// {"version":"0.1.0","verdict":"warning","ok":30,"warnings":2,"failures":0,
//  "checks":[{"name":"swap","level":"warning","text":"...","remedy":"...","details":[]}]}
#pragma once

#include <string>

#include "vmm/doctor/report.h"

namespace wisp::api {

std::string doctor_report_json(const HostReport& report);

}  // namespace wisp::api
