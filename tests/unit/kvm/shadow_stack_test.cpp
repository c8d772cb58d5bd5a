#include "vmm/kvm/shadow_stack.h"

#include <array>
#include <catch2/catch.hpp>

namespace wisp {
namespace {

kvm_cpuid_entry2 leaf(std::uint32_t function, std::uint32_t index, std::uint32_t ecx) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  entry.ecx = ecx;
  return entry;
}

TEST_CASE("Shadow stacks are offered by bit 7 of ecx of leaf 7.0 and by nothing else") {
  constexpr std::uint32_t kBit = 1U << 7;
  CHECK(offers_shadow_stacks(std::array{leaf(1, 0, 0), leaf(7, 0, kBit)}));
  CHECK_FALSE(offers_shadow_stacks(std::array{leaf(7, 0, ~kBit), leaf(7, 1, kBit), leaf(1, 0, kBit)}));
  CHECK_FALSE(offers_shadow_stacks({}));
}

TEST_CASE("The register is the one that KVM numbers 0 among its own, of 64 bits") {
  constexpr std::uint64_t kOwnType = 3;
  CHECK(kGuestSspRegister == (KVM_REG_X86 | KVM_REG_SIZE_U64 | kOwnType << 32));
}

}  // namespace
}  // namespace wisp
