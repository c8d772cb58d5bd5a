// What the operator may ask of the machine: plain data, no I/O, no JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace wisp {

inline constexpr std::uint8_t kMaxVcpuCount = 32;
/// What a configuration may ask for: sizes whose number of bytes has 64 bits.
inline constexpr std::uint64_t kMaxMemoryMib = (std::uint64_t{1} << 44U) - 1;
/// What a machine can have: all of it lies below 2 TiB of the guest's physical address space, gaps included.
inline constexpr std::uint64_t kMaxStartableMemoryMib = 1024ULL * 1024;

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
