#include "vmm/arch/x86_64/pvh.h"

#include <vector>

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/memory_map.h"

namespace wisp::arch {
namespace {

constexpr std::uint32_t kStartMagic = 0x336ec578;
constexpr std::uint32_t kStartVersion = 1;  // the first with a memory map

struct StartInfo {
  Le32 magic;
  Le32 version;
  Le32 flags;
  Le32 module_count;
  Le64 module_list_address;
  Le64 command_line_address;
  Le64 rsdp_address;
  Le64 memory_map_address;
  Le32 memory_map_count;
  Le32 reserved;
};
static_assert(sizeof(StartInfo) == 56 && sizeof(StartInfo) <= kPvhStartInfo.size_bytes);

struct Module {
  Le64 address;
  Le64 size_bytes;
  Le64 command_line_address;
  Le64 reserved;
};
static_assert(sizeof(Module) == kPvhModules.size_bytes);

struct MapEntry {
  Le64 address;
  Le64 size_bytes;
  Le32 kind;
  Le32 reserved;
};
static_assert(sizeof(MapEntry) == 24);

}  // namespace
}  // namespace wisp::arch

template <>
inline constexpr bool wisp::kIsGuestPod<wisp::arch::StartInfo> = true;
template <>
inline constexpr bool wisp::kIsGuestPod<wisp::arch::Module> = true;

namespace wisp::arch {

Status write_pvh_start_info(const GuestMemory& memory, const BootFacts& facts) {
  std::vector<MapEntry> map;
  for (const MemoryMapEntry& entry : memory_map(memory)) {
    map.push_back({entry.range.start.value(), entry.range.size_bytes, static_cast<std::uint32_t>(entry.kind), 0U});
  }
  WISP_ASSERT(map.size() * sizeof(MapEntry) <= kZeroPage.size_bytes);
  (void)WISP_TRY(put_bytes(memory, kZeroPage.start, std::as_bytes(std::span(map)), "the PVH memory map"));

  StartInfo info{};
  info.magic = kStartMagic;
  info.version = kStartVersion;
  info.command_line_address = kCommandLine.start.value();
  info.rsdp_address = kRsdp.start.value();
  info.memory_map_address = kZeroPage.start.value();
  info.memory_map_count = static_cast<std::uint32_t>(map.size());
  if (facts.initrd) {
    info.module_count = 1U;
    info.module_list_address = kPvhModules.start.value();
    const Module module{facts.initrd->start.value(), facts.initrd->size_bytes, 0U, 0U};
    (void)WISP_TRY(put(memory, kPvhModules.start, module, "the PVH module list"));
  }
  return put(memory, kPvhStartInfo.start, info, "the PVH start info");
}

}  // namespace wisp::arch
