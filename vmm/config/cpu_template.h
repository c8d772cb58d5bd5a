// CPU templates as data: which KVM capabilities a machine needs, and which bits of CPUID and MSRs it changes.
//
// A modifier has a mask of the bits that it fixes and their values; what the mask leaves out is as the host has it:
//
//   guest = (host & ~mask) | value
//
// People write it as a bitmap, the highest bit first: "0bxx10" clears bit 0, sets bit 1 and leaves the others alone.
// An operator's own template (PUT /cpu-config) and the static ones (vmm/arch) are both a CustomCpuTemplate, so
// that there is one way to apply them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace wisp {

// Far above every template in use (the largest has about 60 entries), far below what could cost anything. The last also
// fits one KVM_GET_MSRS (255 entries).
inline constexpr std::size_t kMaxCapabilityChanges = 128;
inline constexpr std::size_t kMaxCpuidLeafModifiers = 256;
inline constexpr std::size_t kMaxRegisterModifiersPerLeaf = 32;
inline constexpr std::size_t kMaxMsrModifiers = 200;

inline constexpr unsigned kCpuidRegisterBits = 32;
inline constexpr unsigned kMsrBits = 64;

/// Bits to fix, and to what; no bit of `value` lies outside `mask`.
struct BitModifier {
  std::uint64_t mask = 0;
  std::uint64_t value = 0;

  constexpr std::uint64_t apply(std::uint64_t host) const { return (host & ~mask) | value; }
};

/// "0b", which may be left out, then '0', '1' and 'x', the highest bit first; '_' may stand anywhere. Bits that a short
/// text does not name are as 'x'. Nothing for more than `width` bits or another character.
constexpr std::optional<BitModifier> parse_bitmap(std::string_view text, unsigned width) {
  if (text.starts_with("0b")) {
    text.remove_prefix(2);
  }
  BitModifier modifier;
  unsigned count = 0;
  for (const char letter : text) {
    if (letter == '_') {
      continue;
    }
    if (count == width || (letter != '0' && letter != '1' && letter != 'x')) {
      return std::nullopt;
    }
    ++count;
    modifier.mask = modifier.mask << 1 | (letter == 'x' ? 0U : 1U);
    modifier.value = modifier.value << 1 | (letter == '1' ? 1U : 0U);
  }
  return modifier;
}

enum class CapabilityChange {
  Add,     ///< the start fails without it
  Remove,  ///< one of those that wisp asks for is not asked for
};

struct KvmCapabilityChange {
  CapabilityChange change = CapabilityChange::Add;
  std::uint32_t number = 0;
};

enum class CpuidRegister { Eax, Ebx, Ecx, Edx };

struct CpuidRegisterModifier {
  CpuidRegister reg = CpuidRegister::Eax;
  BitModifier bits;
};

struct CpuidLeafModifier {
  std::uint32_t leaf = 0;
  std::uint32_t subleaf = 0;
  /// KVM's flags of this entry: 1 (the subleaf is significant) or 0.
  std::uint32_t flags = 0;
  std::vector<CpuidRegisterModifier> registers;
};

struct MsrModifier {
  std::uint32_t address = 0;
  BitModifier bits;
};

struct CustomCpuTemplate {
  std::vector<KvmCapabilityChange> capabilities;
  std::vector<CpuidLeafModifier> cpuid;
  std::vector<MsrModifier> msrs;
};

}  // namespace wisp
