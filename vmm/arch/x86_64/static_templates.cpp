#include "vmm/arch/x86_64/static_templates.h"

#include <algorithm>

#include "vmm/base/assert.h"

namespace wisp::arch {
namespace {

// One row a line: leaf, subleaf, KVM's flags, register, bits 31 to 0.
// clang-format off
// What the T2 family has in common; each adds the rows of its extended leaves.
constexpr StaticCpuidRow kT2FamilyRows[] = {
    {0x1, 0, 0, CpuidRegister::Eax, "xxxx000000000011xx00011011110010"},
    {0x1, 0, 0, CpuidRegister::Ecx, "xxxxxxxxxxxxx0xx00xx00x0000000xx"},
    {0x1, 0, 0, CpuidRegister::Edx, "000x0xxxx00xx0xxxxx1xxxx1xxxxxxx"},
    {0x7, 0, 1, CpuidRegister::Ebx, "00000000000x000000x00x1xxxx0x0xx"},
    {0x7, 0, 1, CpuidRegister::Ecx, "x0xxxxxxx0xxxxx0x0x00000x0x0000x"},
    {0x7, 0, 1, CpuidRegister::Edx, "xxxxxxxxxxxxxxxxxxxxxxx0xxx000xx"},
    {0xd, 0, 1, CpuidRegister::Eax, "xxxxxxxxxxxxxxxxxxxxxx0x00000xxx"},
    {0xd, 1, 1, CpuidRegister::Eax, "xxxxxxxxxxxxxxxxxxxxxxxxxxxx000x"},
};

constexpr StaticCpuidRow kT2Rows[] = {
    {0x80000001, 0, 0, CpuidRegister::Ecx, "xx0xxxxxxxxxxxxxxxxxxxx0xxxxxxxx"},
    {0x80000001, 0, 0, CpuidRegister::Edx, "xxxxx0xxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {0x80000008, 0, 0, CpuidRegister::Ebx, "xxxxxxxxxxxxxxxxxxxxxx0xxxxxxxxx"},
};

constexpr StaticCpuidRow kT2ClRows[] = {
    {0x80000001, 0, 0, CpuidRegister::Ecx, "xx0xxxxxxxxxxxxxxxxxxxx000xxxxxx"},
    {0x80000001, 0, 0, CpuidRegister::Edx, "xxxxx00000xxxxxxxxxxxxxxxxxxxxxx"},
    {0x80000008, 0, 0, CpuidRegister::Ebx, "xxxxxxxxxxxxxxxxxxxxxx0xxxxxxxxx"},
};

constexpr StaticCpuidRow kT2ARows[] = {
    {0x80000001, 0, 0, CpuidRegister::Ecx, "xx0xxxxxxxxxxxxxxxxxxxx000xxx0xx"},
    {0x80000001, 0, 0, CpuidRegister::Edx, "xxxxx00xx0xxxxxxxxxxxxxxxxxxxxxx"},
    {0x80000008, 0, 0, CpuidRegister::Ebx, "xxxxxxxxxxx111xxxxxxxx0xxxxxx1x0"},
};

constexpr StaticCpuidRow kC3Rows[] = {
    {0x1, 0, 0, CpuidRegister::Eax, "xxxx000000000011xx00011011100100"},
    {0x1, 0, 0, CpuidRegister::Ecx, "xxxxxxxxx0xxxxxx00x000x0xx0000xx"},
    {0x1, 0, 0, CpuidRegister::Edx, "0x0x0xxxx00xx0xxxxx1xxxx1xxxxxxx"},
    {0x7, 0, 1, CpuidRegister::Ebx, "000000000x0x000000x000x0xx0000xx"},
    {0x7, 0, 1, CpuidRegister::Ecx, "x0xxxxxxx0xxxxx0x0xx0xxxxxx0000x"},
    {0x7, 0, 1, CpuidRegister::Edx, "xxxxxxxxxxxxxxxxxxxxxxxxxxxx00xx"},
    {0xd, 0, 1, CpuidRegister::Eax, "xxxxxxxxxxxxxxxxxxxxxx0x00000xxx"},
    {0xd, 1, 1, CpuidRegister::Eax, "xxxxxxxxxxxxxxxxxxxxxxxxxxxx000x"},
    {0x80000001, 0, 0, CpuidRegister::Ecx, "xxxxxxxxxxxxxxxxxxxxxxx0xx0xxxxx"},
    {0x80000001, 0, 0, CpuidRegister::Edx, "xxxxx0xxxxxxxxxxxxxxxxxxxxxxxxxx"},
};

// IA32_ARCH_CAPABILITIES, bits 63 to 0.
constexpr StaticMsrRow kT2SMsrs[] = {
    {0x10a, "0000000000000000000000000000000000001100000010100000110001001100"},
};
constexpr StaticMsrRow kT2ClMsrs[] = {
    {0x10a, "00000000000000000000000000000000000xxx0x0000x0x0xxx0000xxxxxxxxx"},
};
// clang-format on

/// A typing mistake in a table is an error of the build.
constexpr bool all_whole(std::span<const StaticCpuidRow> rows) {
  return std::all_of(rows.begin(), rows.end(), [](const StaticCpuidRow& row) {
    return row.bitmap.size() == kCpuidRegisterBits && parse_bitmap(row.bitmap, kCpuidRegisterBits).has_value();
  });
}
constexpr bool all_whole(std::span<const StaticMsrRow> rows) {
  return std::all_of(rows.begin(), rows.end(), [](const StaticMsrRow& row) {
    return row.bitmap.size() == kMsrBits && parse_bitmap(row.bitmap, kMsrBits).has_value();
  });
}
static_assert(all_whole(kT2FamilyRows) && all_whole(kT2Rows) && all_whole(kT2ClRows) && all_whole(kT2ARows) &&
              all_whole(kC3Rows));
static_assert(all_whole(kT2SMsrs) && all_whole(kT2ClMsrs));

constexpr std::uint32_t kSkylake = 0x50654;
constexpr std::uint32_t kCascadeLake = 0x50657;
constexpr std::uint32_t kIceLake = 0x606a6;
constexpr std::uint32_t kMilan = 0xa00f11;
constexpr std::uint32_t kSkylakeToIceLake[] = {kSkylake, kCascadeLake, kIceLake};
constexpr std::uint32_t kSkylakeToCascadeLake[] = {kSkylake, kCascadeLake};
constexpr std::uint32_t kCascadeLakeToIceLake[] = {kCascadeLake, kIceLake};
constexpr std::uint32_t kMilanOnly[] = {kMilan};
/// Family, model and stepping with their extensions; the other bits are reserved.
constexpr std::uint32_t kSignatureMask = 0x0fff3fff;

constexpr std::string_view kIntel = "GenuineIntel";
constexpr std::string_view kAmd = "AuthenticAMD";

constexpr StaticTemplate kTemplates[] = {
    {CpuTemplate::C3, kIntel, kSkylakeToIceLake, kC3Rows, {}, {}},
    {CpuTemplate::T2, kIntel, kSkylakeToIceLake, kT2FamilyRows, kT2Rows, {}},
    {CpuTemplate::T2S, kIntel, kSkylakeToCascadeLake, kT2FamilyRows, kT2Rows, kT2SMsrs},
    {CpuTemplate::T2CL, kIntel, kCascadeLakeToIceLake, kT2FamilyRows, kT2ClRows, kT2ClMsrs},
    {CpuTemplate::T2A, kAmd, kMilanOnly, kT2FamilyRows, kT2ARows, {}},
};

Error refused(const char* text) {
  return Error(ErrorCode::Unsupported, std::string("Failed to get CPU template: ") + text);
}

void add_row(CustomCpuTemplate& out, const StaticCpuidRow& row) {
  if (out.cpuid.empty() || out.cpuid.back().leaf != row.leaf || out.cpuid.back().subleaf != row.subleaf) {
    out.cpuid.push_back({.leaf = row.leaf, .subleaf = row.subleaf, .flags = row.flags, .registers = {}});
  }
  out.cpuid.back().registers.push_back({row.reg, *parse_bitmap(row.bitmap, kCpuidRegisterBits)});
}

}  // namespace

const StaticTemplate& static_template(CpuTemplate name) {
  const auto* found = std::find_if(std::begin(kTemplates), std::end(kTemplates),
                                   [&](const StaticTemplate& each) { return each.name == name; });
  WISP_ASSERT(found != std::end(kTemplates));
  return *found;
}

Result<CustomCpuTemplate> load_static_template(CpuTemplate name, HostCpuid host) {
  const StaticTemplate& table = static_template(name);
  if (cpu_vendor(host) != table.vendor) {
    return refused("CPU vendor mismatched between actual CPU and CPU template.");
  }
  const std::uint32_t signature = host(1, 0).eax & kSignatureMask;
  if (std::find(table.models.begin(), table.models.end(), signature) == table.models.end()) {
    return refused("The current CPU model is not permitted to apply the CPU template.");
  }
  CustomCpuTemplate out;
  for (const auto rows : {table.family_cpuid, table.own_cpuid}) {
    for (const StaticCpuidRow& row : rows) {
      add_row(out, row);
    }
  }
  for (const StaticMsrRow& row : table.msrs) {
    out.msrs.push_back({row.address, *parse_bitmap(row.bitmap, kMsrBits)});
  }
  return out;
}

}  // namespace wisp::arch
