// The static CPU templates: masks by name (C3, T2, T2S, T2CL, T2A), each for some processors only.
//
// A template makes different processors look alike to guests, by taking features away; on a processor that it was not
// made for it would promise something else than the processor does, so it is refused there. The tables are those of the
// reference monitor (its API calls them deprecated in favour of templates of one's own).
#pragma once

#include <span>
#include <string_view>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/base/result.h"
#include "vmm/config/cpu_template.h"
#include "vmm/config/machine.h"

namespace wisp::arch {

/// One row of a template's table: a register's bitmap, all 32 bits of it, as people write them.
struct StaticCpuidRow {
  std::uint32_t leaf;
  std::uint32_t subleaf;
  std::uint32_t flags;
  CpuidRegister reg;
  std::string_view bitmap;
};

struct StaticMsrRow {
  std::uint32_t address;
  std::string_view bitmap;
};

struct StaticTemplate {
  CpuTemplate name;
  std::string_view vendor;                       ///< as CPUID leaf 0 spells it
  std::span<const std::uint32_t> models;         ///< signatures (CPUID leaf 1 EAX) of the processors that may have it
  std::span<const StaticCpuidRow> family_cpuid;  ///< rows of one leaf stand together
  std::span<const StaticCpuidRow> own_cpuid;     ///< of other leaves than the family's
  std::span<const StaticMsrRow> msrs;
};

/// `name` is not None.
const StaticTemplate& static_template(CpuTemplate name);

/// The template as data to apply; fails on a host that `name` is not for.
Result<CustomCpuTemplate> load_static_template(CpuTemplate name, HostCpuid host);

}  // namespace wisp::arch
