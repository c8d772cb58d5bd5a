// What the operator may ask of the machine: plain data, no I/O, no JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace wisp {

inline constexpr std::uint8_t kMaxVcpuCount = 32;
/// Guest memory ends below the 512 GiB mark of the physical address map with room for the gaps; 1 TiB is refused early,
/// so that no size computation can wrap.
inline constexpr std::uint64_t kMaxMemoryMib = 1024ULL * 1024;

enum class HugePages { None, Transparent, Pages2M };
/// The static CPU templates of the API, by name.
enum class CpuTemplate { None, C3, T2, T2S, T2CL, T2A };

struct MachineConfig {
  std::uint8_t vcpu_count = 1;
  std::uint64_t memory_mib = 128;
  bool smt = false;
  bool track_dirty_pages = false;
  HugePages huge_pages = HugePages::None;
  /// In a PUT: absent keeps what was set before, None takes any template away, a custom one too. In the configuration
  /// and in answers: present when a static template is in force, then never None.
  std::optional<CpuTemplate> cpu_template = std::nullopt;
};

/// PATCH: only what is present changes.
struct MachineConfigPatch {
  std::optional<std::uint8_t> vcpu_count;
  std::optional<std::uint64_t> memory_mib;
  std::optional<bool> smt;
  std::optional<bool> track_dirty_pages;
  std::optional<HugePages> huge_pages;
  std::optional<CpuTemplate> cpu_template = std::nullopt;
};

}  // namespace wisp
