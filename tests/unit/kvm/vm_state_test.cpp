#include "vmm/kvm/vm_state.h"

#include <cstring>
#include <random>

#include "tests/unit/kvm/state_samples.h"

namespace wisp {
namespace {

using test::Bytes;
using test::decode;
using test::encode;
using test::refused;
using test::sample_vm_state;

TEST_CASE("A machine's KVM state comes back as it was, byte for byte") {
  const KvmVmState state = sample_vm_state();
  const auto back = decode<KvmVmState>(encode(state));

  REQUIRE(back.ok());
  CHECK(encode(back.value()) == encode(state));
  CHECK(std::memcmp(&back.value().pit, &state.pit, sizeof(state.pit)) == 0);
  CHECK(std::memcmp(&back.value().clock, &state.clock, sizeof(state.clock)) == 0);
  CHECK(std::memcmp(back.value().irqchips.data(), state.irqchips.data(), sizeof(state.irqchips)) == 0);
}

TEST_CASE("A machine's KVM state that is cut anywhere or followed by a byte is refused") {
  const Bytes whole = encode(sample_vm_state());
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    accepted += decode<KvmVmState>(std::span(whole).first(size)).ok() ? 1U : 0U;
  }
  CHECK(accepted == 0);

  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK_FALSE(decode<KvmVmState>(longer).ok());
}

struct Forgery {
  const char* what;
  void (*apply)(KvmVmState&);
};

TEST_CASE("Each field of the timer, clock and controllers out of range is refused") {
  const Forgery forgery =
      GENERATE(Forgery{"PIT count", [](KvmVmState& s) { s.pit.channels[1].count = 0x10001; }},
               Forgery{"PIT mode", [](KvmVmState& s) { s.pit.channels[1].mode = 6; }},
               Forgery{"PIT read state", [](KvmVmState& s) { s.pit.channels[1].read_state = 5; }},
               Forgery{"PIT write state", [](KvmVmState& s) { s.pit.channels[2].write_state = 5; }},
               Forgery{"PIT byte order", [](KvmVmState& s) { s.pit.channels[2].rw_mode = 5; }},
               Forgery{"PIT latch", [](KvmVmState& s) { s.pit.channels[2].count_latched = 5; }},
               Forgery{"PIT gate", [](KvmVmState& s) { s.pit.channels[2].gate = 2; }},
               Forgery{"PIT flags", [](KvmVmState& s) { s.pit.flags |= 4; }},
               Forgery{"clock", [](KvmVmState& s) { s.clock.clock = (1ULL << 62) + 1; }},
               Forgery{"real time", [](KvmVmState& s) { s.clock.realtime = ~0ULL; }},
               Forgery{"clock flags", [](KvmVmState& s) { s.clock.flags |= 1; }},
               Forgery{"PIC edge lines", [](KvmVmState& s) { s.irqchips[0].chip.pic.elcr_mask = 0xff; }},
               Forgery{"PIC level lines", [](KvmVmState& s) { s.irqchips[1].chip.pic.elcr = 1; }},
               Forgery{"PIC priority", [](KvmVmState& s) { s.irqchips[0].chip.pic.priority_add = 8; }},
               Forgery{"PIC init", [](KvmVmState& s) { s.irqchips[1].chip.pic.init_state = 4; }},
               Forgery{"PIC bit", [](KvmVmState& s) { s.irqchips[1].chip.pic.auto_eoi = 2; }},
               Forgery{"IOAPIC address", [](KvmVmState& s) { s.irqchips[2].chip.ioapic.base_address = 0xfee00000; }},
               Forgery{"IOAPIC register", [](KvmVmState& s) { s.irqchips[2].chip.ioapic.ioregsel = 0x100; }},
               Forgery{"IOAPIC id", [](KvmVmState& s) { s.irqchips[2].chip.ioapic.id = 16; }},
               Forgery{"IOAPIC lines", [](KvmVmState& s) { s.irqchips[2].chip.ioapic.irr = 1U << 24; }});
  CAPTURE(forgery.what);
  KvmVmState state = sample_vm_state();
  REQUIRE_FALSE(refused(state));
  forgery.apply(state);
  CHECK(refused(state));
}

TEST_CASE("Damaged bytes of a machine's KVM state are refused or mean exactly what they say") {
  const Bytes whole = encode(sample_vm_state());
  std::mt19937 random(20261121);  // NOLINT: the same sequence every time
  for (int round = 0; round < 3000; ++round) {
    Bytes damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
    const auto back = decode<KvmVmState>(damaged);
    if (back.ok()) {
      REQUIRE(encode(back.value()) == damaged);
    }
  }
}

}  // namespace
}  // namespace wisp
