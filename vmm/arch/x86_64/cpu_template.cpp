#include "vmm/arch/x86_64/cpu_template.h"

#include <algorithm>
#include <string>

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/static_templates.h"

namespace wisp::arch {
namespace {

Error refused(const std::string& text) {
  return Error(ErrorCode::Unsupported, "Failed to create guest config: " + text);
}

__u32& register_of(kvm_cpuid_entry2& entry, CpuidRegister reg) {
  switch (reg) {
    case CpuidRegister::Eax: return entry.eax;
    case CpuidRegister::Ebx: return entry.ebx;
    case CpuidRegister::Ecx: return entry.ecx;
    case CpuidRegister::Edx: return entry.edx;
  }
  return entry.eax;
}

Status apply_leaf(std::vector<kvm_cpuid_entry2>& entries, const CpuidLeafModifier& modifier) {
  const auto entry = std::find_if(entries.begin(), entries.end(), [&](const kvm_cpuid_entry2& each) {
    return each.function == modifier.leaf && each.index == modifier.subleaf;
  });
  const std::string place = "Leaf: " + hex(modifier.leaf) + ", Subleaf: " + hex(modifier.subleaf) + ".";
  if (entry == entries.end()) {
    return refused("Template changes a CPUID entry not supported by KVM: " + place);
  }
  // The flags tell KVM how the guest's lookups find the entry; other flags than its own would hide or multiply it.
  if (entry->flags != modifier.flags) {
    return refused("Template changes the flags of a CPUID entry: " + place + " KVM has " +
                   std::to_string(entry->flags) + ", the template says " + std::to_string(modifier.flags) +
                   ". Put KVM's number into the template");
  }
  for (const CpuidRegisterModifier& change : modifier.registers) {
    __u32& value = register_of(*entry, change.reg);
    value = static_cast<__u32>(change.bits.apply(value));
  }
  return {};
}

}  // namespace

Result<CustomCpuTemplate> resolve_template(const std::optional<CustomCpuTemplate>& custom,
                                           std::optional<CpuTemplate> static_name, HostCpuid host) {
  if (custom) {
    return *custom;
  }
  if (static_name.value_or(CpuTemplate::None) != CpuTemplate::None) {
    return load_static_template(*static_name, host);
  }
  return CustomCpuTemplate{};
}

Status apply_template(std::vector<kvm_cpuid_entry2>& entries, const CustomCpuTemplate& cpu_template) {
  for (const CpuidLeafModifier& modifier : cpu_template.cpuid) {
    (void)WISP_TRY(apply_leaf(entries, modifier));
  }
  return {};
}

std::vector<std::uint32_t> template_msr_indices(const CustomCpuTemplate& cpu_template) {
  std::vector<std::uint32_t> indices;
  for (const MsrModifier& modifier : cpu_template.msrs) {
    if (std::find(indices.begin(), indices.end(), modifier.address) == indices.end()) {
      indices.push_back(modifier.address);
    }
  }
  return indices;
}

Result<std::vector<kvm_msr_entry>> template_msrs(const CustomCpuTemplate& cpu_template,
                                                 std::span<const kvm_msr_entry> host_values) {
  std::vector<kvm_msr_entry> entries(host_values.begin(), host_values.end());
  for (const MsrModifier& modifier : cpu_template.msrs) {
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const kvm_msr_entry& each) { return each.index == modifier.address; });
    if (entry == entries.end()) {
      return refused("Template changes an MSR entry not supported by KVM: Register Address: " + hex(modifier.address) +
                     ".");
    }
    entry->data = modifier.bits.apply(entry->data);
  }
  return entries;
}

}  // namespace wisp::arch
