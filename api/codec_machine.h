// Machine configuration <-> JSON: PUT and PATCH /machine-config, GET /machine-config, section "machine-config".
#pragma once

#include "api/json_value.h"
#include "api/json_writer.h"
#include "vmm/base/result.h"
#include "vmm/config/machine.h"

namespace wisp::api {

/// `cpu_template` is deprecated; who names it gets a Deprecation header.
enum class CpuTemplateField { Absent, Given };

struct MachineBody {
  MachineConfig config;
  CpuTemplateField cpu_template = CpuTemplateField::Absent;
};
struct MachinePatchBody {
  MachineConfigPatch patch;
  CpuTemplateField cpu_template = CpuTemplateField::Absent;
};

Result<MachineBody> decode_machine(const Json& json);
Result<MachinePatchBody> decode_machine_patch(const Json& json);
/// Not one member was given; the API refuses such a patch.
bool changes_nothing(const MachinePatchBody& body);
void write_machine(JsonWriter& json, const MachineConfig& config);

}  // namespace wisp::api
