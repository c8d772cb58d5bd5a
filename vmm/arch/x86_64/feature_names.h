// Names of CPUID feature bits for messages, as Linux prints them in /proc/cpuinfo (where it has one).
#pragma once

#include <cstdint>
#include <string_view>

namespace wisp::arch {

/// `reg` is "eax" to "edx". Empty for a bit that has no name here.
std::string_view feature_name(std::uint32_t leaf, std::uint32_t subleaf, std::string_view reg, unsigned bit_index);

}  // namespace wisp::arch
