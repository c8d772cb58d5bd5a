#include "api/codec_machine.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "api/fields.h"

namespace wisp::api {
namespace {

constexpr EnumName<HugePages> kHugePages[] = {
    {"None", HugePages::None},
    {"Transparent", HugePages::Transparent},
    {"2M", HugePages::Pages2M},
};
constexpr EnumName<CpuTemplate> kCpuTemplates[] = {
    {"C3", CpuTemplate::C3},     {"T2", CpuTemplate::T2},   {"T2S", CpuTemplate::T2S},
    {"T2CL", CpuTemplate::T2CL}, {"T2A", CpuTemplate::T2A}, {"None", CpuTemplate::None},
};

CpuTemplateField read_cpu_template(FieldReader& fields, std::optional<CpuTemplate>& wanted) {
  fields.optional("cpu_template", kCpuTemplates, wanted);
  return wanted ? CpuTemplateField::Given : CpuTemplateField::Absent;
}

void check_memory(FieldReader& fields, std::uint64_t memory_mib) {
  if (memory_mib > kMaxMemoryMib) {
    fields.fail("field `mem_size_mib`: invalid value: integer `" + std::to_string(memory_mib) + "`, expected at most " +
                std::to_string(kMaxMemoryMib));
  }
}

}  // namespace

Result<MachineBody> decode_machine(const Json& json) {
  MachineBody body;
  FieldReader fields(json);
  fields.required("vcpu_count", body.config.vcpu_count);
  fields.required("mem_size_mib", body.config.memory_mib);
  fields.defaulted("smt", body.config.smt);
  body.cpu_template = read_cpu_template(fields, body.config.cpu_template);
  fields.defaulted("track_dirty_pages", body.config.track_dirty_pages);
  fields.defaulted("huge_pages", kHugePages, body.config.huge_pages);
  check_memory(fields, body.config.memory_mib);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return body;
}

Result<MachinePatchBody> decode_machine_patch(const Json& json) {
  MachinePatchBody body;
  MachineConfigPatch& patch = body.patch;
  FieldReader fields(json);
  fields.optional("vcpu_count", patch.vcpu_count);
  fields.optional("mem_size_mib", patch.memory_mib);
  fields.optional("smt", patch.smt);
  body.cpu_template = read_cpu_template(fields, patch.cpu_template);
  fields.optional("track_dirty_pages", patch.track_dirty_pages);
  fields.optional("huge_pages", kHugePages, patch.huge_pages);
  check_memory(fields, patch.memory_mib.value_or(0));
  WISP_TRY(fields.finish(UnknownFields::Refused));
  return body;
}

bool changes_nothing(const MachinePatchBody& body) {
  const MachineConfigPatch& patch = body.patch;
  return !patch.vcpu_count && !patch.memory_mib && !patch.smt && !patch.track_dirty_pages && !patch.huge_pages &&
         body.cpu_template == CpuTemplateField::Absent;
}

void write_machine(JsonWriter& json, const MachineConfig& config) {
  json.open_object();
  json.key("vcpu_count").number(config.vcpu_count);
  json.key("mem_size_mib").number(config.memory_mib);
  json.key("smt").truth(config.smt);
  if (config.cpu_template) {
    json.key("cpu_template").string(name_of(kCpuTemplates, *config.cpu_template));
  }
  json.key("track_dirty_pages").truth(config.track_dirty_pages);
  json.key("huge_pages").string(name_of(kHugePages, config.huge_pages));
  json.close_object();
}

}  // namespace wisp::api
