// `wisp doctor`: examines this host (vmm/doctor) and prints what it found, for people or as JSON.
#pragma once

#include <span>
#include <string>

#include "vmm/base/exit_code.h"
#include "vmm/base/manual.h"
#include "vmm/doctor/report.h"

namespace wisp {

extern const ManualPage kDoctorPage;

/// `words` are those behind "doctor". `to_json` writes the report for machines.
ExitCode run_doctor_command(std::span<char* const> words, std::string (*to_json)(const HostReport&));

}  // namespace wisp
