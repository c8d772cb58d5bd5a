#include "vmm/kvm/vcpu_state.h"

#include <cstring>
#include <random>

#include "tests/unit/kvm/state_samples.h"

namespace wisp {
namespace {

using test::Bytes;
using test::decode;
using test::encode;
using test::refused;
using test::sample_vcpu_state;

/// kvm_vcpu_events as it is written: the last part.
constexpr std::size_t kEventBytes = 27;

void put_u32(Bytes& bytes, std::size_t offset, std::uint32_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

TEST_CASE("A vCPU's state comes back as it was, byte for byte") {
  const VcpuState state = sample_vcpu_state();
  const auto back = decode<VcpuState>(encode(state));

  REQUIRE(back.ok());
  CHECK(encode(back.value()) == encode(state));
  CHECK(back.value().tsc_khz == 2'900'000);
  CHECK(back.value().mp_state.mp_state == KVM_MP_STATE_HALTED);
  CHECK(std::memcmp(&back.value().registers, &state.registers, sizeof(state.registers)) == 0);
  CHECK(std::memcmp(&back.value().special_registers, &state.special_registers, sizeof(kvm_sregs)) == 0);
  CHECK(back.value().xsave == state.xsave);
  CHECK(std::memcmp(&back.value().xcrs, &state.xcrs, sizeof(state.xcrs)) == 0);
  CHECK(std::memcmp(&back.value().debug_registers, &state.debug_registers, sizeof(kvm_debugregs)) == 0);
  CHECK(std::memcmp(&back.value().lapic, &state.lapic, sizeof(state.lapic)) == 0);
  REQUIRE(back.value().cpuid.size() == 2);
  CHECK(std::memcmp(&back.value().cpuid[1], &state.cpuid[1], sizeof(kvm_cpuid_entry2)) == 0);
  REQUIRE(back.value().msrs.size() == 2);
  CHECK(back.value().msrs[1].data == 0xffffffff81000000);
  CHECK(std::memcmp(&back.value().events, &state.events, sizeof(state.events)) == 0);
}

TEST_CASE("The bytes of a vCPU's state begin as the header describes them") {
  const Bytes bytes = encode(sample_vcpu_state());
  std::uint32_t tsc_khz = 0;
  std::uint64_t rax = 0;
  std::memcpy(&tsc_khz, bytes.data(), sizeof(tsc_khz));
  std::memcpy(&rax, bytes.data() + 8, sizeof(rax));
  CHECK(tsc_khz == 2'900'000);
  CHECK(rax == 0x1111);
}

TEST_CASE("A vCPU's state that is cut anywhere or followed by a byte is refused") {
  const Bytes whole = encode(sample_vcpu_state());
  REQUIRE(decode<VcpuState>(whole).ok());
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    accepted += decode<VcpuState>(std::span(whole).first(size)).ok() ? 1U : 0U;
  }
  CHECK(accepted == 0);

  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK_FALSE(decode<VcpuState>(longer).ok());
}

TEST_CASE("Counts beyond the limits are refused before anything is allocated for them") {
  VcpuState state = sample_vcpu_state();
  state.cpuid.clear();
  state.msrs.clear();
  const Bytes bytes = encode(state);
  const std::size_t msr_count = bytes.size() - kEventBytes - 4;
  for (const std::size_t offset : {msr_count, msr_count - 4}) {
    for (const std::uint32_t count : {1U, 257U, 513U, 0x10000U, 0xffffffffU}) {
      Bytes forged = bytes;
      put_u32(forged, offset, count);
      CHECK_FALSE(decode<VcpuState>(forged).ok());
    }
  }
}

TEST_CASE("The largest tables of CPUID entries and MSRs are taken, one entry more is not") {
  VcpuState state = sample_vcpu_state();
  state.cpuid.resize(256);
  state.msrs.resize(kMaxSavedMsrs, kvm_msr_entry{0x10, 0, 0});
  CHECK_FALSE(refused(state));
  VcpuState many_leaves = state;
  many_leaves.cpuid.resize(257);
  CHECK(refused(many_leaves));
  state.msrs.push_back({0x10, 0, 0});
  CHECK(refused(state));
}

TEST_CASE("Registers that a guest cannot set are refused: nested virtualisation, commands, second sources") {
  for (const std::uint32_t index :
       {0x1bU, 0x49U, 0x79U, 0x11U, 0x12U, 0x17bU, 0x480U, 0x491U, 0x345U, 0x830U, 0x40000000U, 0x4b564d00U,
        0x4b564e00U, 0xc0000080U, 0xc0000100U, 0xc0010114U, 0xc0010117U, 0xffffffffU}) {
    CAPTURE(index);
    CHECK_FALSE(is_saved_msr(index));
    VcpuState state = sample_vcpu_state();
    state.msrs.push_back({index, 0, 0});
    CHECK(refused(state));
  }
  for (const std::uint32_t index : {0x0U, 0x10U, 0x174U, 0x200U, 0x277U, 0x2ffU, 0x6e0U, 0x4b564d01U, 0x4b564dffU,
                                    0xc0000081U, 0xc0000102U, 0xc001011fU}) {
    CAPTURE(index);
    CHECK(is_saved_msr(index));
  }
}

TEST_CASE("CPUID that offers nested virtualisation or has unknown flags is refused") {
  for (const auto& [leaf, ecx] : {std::pair{0x1U, 1U << 5}, std::pair{0x80000001U, 1U << 2}}) {
    VcpuState state = sample_vcpu_state();
    kvm_cpuid_entry2 entry{};
    entry.function = leaf;
    entry.ecx = ~ecx;
    state.cpuid.push_back(entry);
    CHECK_FALSE(refused(state));
    state.cpuid.back().ecx = ecx;
    CHECK(refused(state));
  }
  VcpuState state = sample_vcpu_state();
  state.cpuid[0].flags = KVM_CPUID_FLAG_STATEFUL_FUNC;
  CHECK(refused(state));
}

struct Forgery {
  const char* what;
  void (*apply)(VcpuState&);
};

TEST_CASE("Each value out of range is refused") {
  const Forgery forgery =
      GENERATE(Forgery{"processor state", [](VcpuState& s) { s.mp_state.mp_state = KVM_MP_STATE_STOPPED; }},
               Forgery{"reserved flag", [](VcpuState& s) { s.registers.rflags |= 1U << 15; }},
               Forgery{"high flag", [](VcpuState& s) { s.registers.rflags |= 1ULL << 63; }},
               Forgery{"flag that is always set", [](VcpuState& s) { s.registers.rflags = 0; }},
               Forgery{"segment type", [](VcpuState& s) { s.special_registers.tr.type = 16; }},
               Forgery{"segment privilege", [](VcpuState& s) { s.special_registers.ldt.dpl = 4; }},
               Forgery{"segment bit", [](VcpuState& s) { s.special_registers.ss.unusable = 2; }},
               Forgery{"task priority", [](VcpuState& s) { s.special_registers.cr8 = 16; }},
               Forgery{"two interrupts", [](VcpuState& s) { s.special_registers.interrupt_bitmap[0] = 1; }},
               Forgery{"VMX", [](VcpuState& s) { s.special_registers.cr4 |= 1U << 13; }},
               Forgery{"SVM", [](VcpuState& s) { s.special_registers.efer |= 1U << 12; }},
               Forgery{"small xsave", [](VcpuState& s) { s.xsave.resize(kMinXsaveBytes - 1); }},
               Forgery{"no xsave", [](VcpuState& s) { s.xsave.clear(); }},
               Forgery{"large xsave", [](VcpuState& s) { s.xsave.resize(kMaxXsaveBytes + 1); }},
               Forgery{"compacted xsave", [](VcpuState& s) { s.xsave[527] = std::byte{0x80}; }},
               Forgery{"xsave header", [](VcpuState& s) { s.xsave[575] = std::byte{1}; }},
               Forgery{"XCR number", [](VcpuState& s) { s.xcrs.xcrs[0].xcr = 1; }},
               Forgery{"exception number", [](VcpuState& s) { s.events.exception.nr = 32; }},
               Forgery{"exception that is an NMI", [](VcpuState& s) { s.events.exception.nr = 2; }},
               Forgery{"exception bit", [](VcpuState& s) { s.events.exception.injected = 2; }},
               Forgery{"interrupt bit", [](VcpuState& s) { s.events.interrupt.soft = 2; }},
               Forgery{"interrupt shadow", [](VcpuState& s) { s.events.interrupt.shadow = 4; }},
               Forgery{"NMI count", [](VcpuState& s) { s.events.nmi.pending = 3; }},
               Forgery{"SMI bit", [](VcpuState& s) { s.events.smi.latched_init = 2; }},
               Forgery{"event flag", [](VcpuState& s) { s.events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD; }},
               Forgery{"unknown event flag", [](VcpuState& s) { s.events.flags |= 1U << 31; }});
  CAPTURE(forgery.what);
  VcpuState state = sample_vcpu_state();
  REQUIRE_FALSE(refused(state));
  forgery.apply(state);
  CHECK(refused(state));
}

TEST_CASE("More extended control registers than KVM has are refused") {
  Bytes bytes = encode(sample_vcpu_state());
  const std::size_t xcr_count = bytes.size() - kEventBytes - (4 + 2 * 12) - (4 + 2 * 28) - 1024 - 6 * 8 - (4 + 12);
  std::uint32_t count = 0;
  std::memcpy(&count, bytes.data() + xcr_count, sizeof(count));
  REQUIRE(count == 1);
  put_u32(bytes, xcr_count, 17);
  CHECK_FALSE(decode<VcpuState>(bytes).ok());
}

TEST_CASE("Reserved fields of KVM's structures do not travel") {
  VcpuState state = sample_vcpu_state();
  const VcpuState clean = state;
  std::memset(state.events.reserved, 0xff, sizeof(state.events.reserved));
  std::memset(state.debug_registers.reserved, 0xff, sizeof(state.debug_registers.reserved));
  state.debug_registers.flags = 1;
  state.xcrs.flags = 1;
  state.special_registers.cs.padding = 1;
  state.msrs[0].reserved = 1;
  state.cpuid[0].padding[1] = 1;
  const auto back = decode<VcpuState>(encode(state));
  REQUIRE(back.ok());
  CHECK(std::memcmp(&back.value().events, &clean.events, sizeof(kvm_vcpu_events)) == 0);
  CHECK(back.value().debug_registers.flags == 0);
  CHECK(back.value().debug_registers.reserved[8] == 0);
  CHECK(back.value().xcrs.flags == 0);
  CHECK(back.value().special_registers.cs.padding == 0);
  CHECK(back.value().msrs[0].reserved == 0);
  CHECK(back.value().cpuid[0].padding[1] == 0);
}

TEST_CASE("Damaged bytes are refused or mean exactly what they say") {
  const Bytes whole = encode(sample_vcpu_state());
  std::mt19937 random(20261121);  // NOLINT: the same sequence every time
  std::size_t refusals = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes damaged = whole;
    for (std::uint32_t hit = 0; hit < 1 + random() % 3; ++hit) {
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
    }
    const auto back = decode<VcpuState>(damaged);
    if (back.ok()) {
      REQUIRE(encode(back.value()) == damaged);
    } else {
      ++refusals;
    }
  }
  CHECK(refusals > 0);
}

TEST_CASE("A TSC frequency differs from 250 ppm on") {
  CHECK_FALSE(tsc_differs(2'000'000, 2'000'000));
  CHECK_FALSE(tsc_differs(2'000'500, 2'000'000));
  CHECK_FALSE(tsc_differs(1'999'500, 2'000'000));
  CHECK(tsc_differs(2'000'501, 2'000'000));
  CHECK(tsc_differs(1'999'499, 2'000'000));
  CHECK(tsc_differs(0xffffffff, 1));
  CHECK(tsc_differs(1, 0xffffffff));
}

}  // namespace
}  // namespace wisp
