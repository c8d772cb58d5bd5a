#include "vmm/kvm/shadow_stack.h"

#include <algorithm>

namespace wisp {

bool offers_shadow_stacks(std::span<const kvm_cpuid_entry2> cpuid) {
  constexpr std::uint32_t kFeatures = 7;
  constexpr std::uint32_t kShadowStacks = 1U << 7;
  return std::ranges::any_of(cpuid, [](const kvm_cpuid_entry2& entry) {
    return entry.function == kFeatures && entry.index == 0 && (entry.ecx & kShadowStacks) != 0;
  });
}

}  // namespace wisp
