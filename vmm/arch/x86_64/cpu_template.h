// Applying a CPU template to what KVM offers.
//
//   const auto chosen = WISP_TRY(resolve_template(custom, static_name, host_cpuid));
//   WISP_TRY(apply_template(entries, chosen));                       // then normalize_cpuid, then KVM_SET_CPUID2
//   host = vcpu.msrs(template_msr_indices(chosen));                  // only now: CPUID decides which MSRs exist
//   vcpu.set_msrs(WISP_TRY(template_msrs(chosen, host)));            // then the boot MSRs, which override
//
// A template changes what is there and adds nothing: a leaf or MSR that KVM does not offer is an error that names it.
#pragma once

#include <linux/kvm.h>

#include <optional>
#include <span>
#include <vector>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/base/result.h"
#include "vmm/config/cpu_template.h"
#include "vmm/config/machine.h"

namespace wisp::arch {

/// The template of a machine: the custom one, else the static one by name, else one that changes nothing. A static one
/// is checked against the host's processor.
Result<CustomCpuTemplate> resolve_template(const std::optional<CustomCpuTemplate>& custom,
                                           std::optional<CpuTemplate> static_name, HostCpuid host);

/// Changes `entries`; after an error they must be thrown away.
Status apply_template(std::vector<kvm_cpuid_entry2>& entries, const CustomCpuTemplate& cpu_template);

/// The MSRs that the template changes, each once, in its order. A snapshot must hold them too.
std::vector<std::uint32_t> template_msr_indices(const CustomCpuTemplate& cpu_template);

/// `host_values`: those of template_msr_indices() as far as KVM could read them. Answers what to set.
Result<std::vector<kvm_msr_entry>> template_msrs(const CustomCpuTemplate& cpu_template,
                                                 std::span<const kvm_msr_entry> host_values);

}  // namespace wisp::arch
