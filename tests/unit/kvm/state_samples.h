// States that a snapshot could hold, with every field different, and what the tests do with their bytes.
#pragma once

#include <catch2/catch.hpp>
#include <cstdio>
#include <optional>
#include <vector>

#include "vmm/kvm/saved_msrs.h"
#include "vmm/kvm/system.h"
#include "vmm/kvm/vcpu_state.h"
#include "vmm/kvm/vm_state.h"

namespace wisp::test {

using Bytes = std::vector<std::byte>;

inline kvm_segment sample_segment(std::uint16_t selector) {
  kvm_segment segment{};
  segment.base = 0x1000ULL * selector;
  segment.limit = 0xfffff;
  segment.selector = selector;
  segment.type = 0xb;
  segment.present = 1;
  segment.dpl = 3;
  segment.l = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

inline kvm_sregs sample_special_registers() {
  kvm_sregs sregs{};
  std::uint16_t selector = 8;
  for (kvm_segment* segment :
       {&sregs.cs, &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss, &sregs.tr, &sregs.ldt}) {
    *segment = sample_segment(selector);
    selector = static_cast<std::uint16_t>(selector + 8);
  }
  sregs.gdt.base = 0x500;
  sregs.gdt.limit = 31;
  sregs.idt.base = 0x520;
  sregs.idt.limit = 7;
  sregs.cr0 = 0x80000011;
  sregs.cr2 = 0xdead000;
  sregs.cr3 = 0x9000;
  sregs.cr4 = 0x20;
  sregs.cr8 = 7;
  sregs.efer = 0x500;
  sregs.apic_base = 0xfee00900;
  sregs.interrupt_bitmap[3] = 1ULL << 40;
  return sregs;
}

inline kvm_vcpu_events sample_events() {
  kvm_vcpu_events events{};
  events.exception.injected = 1;
  events.exception.nr = 14;
  events.exception.has_error_code = 1;
  events.exception.error_code = 0x77;
  events.interrupt.nr = 0x31;
  events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
  events.nmi.pending = 1;
  events.nmi.masked = 1;
  events.sipi_vector = 0x9a;
  events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
  return events;
}

inline VcpuState sample_vcpu_state() {
  VcpuState state;
  state.tsc_khz = 2'900'000;
  state.mp_state.mp_state = KVM_MP_STATE_HALTED;
  state.registers.rax = 0x1111;
  state.registers.r15 = 0xffffffff80000000;
  state.registers.rip = 0x100000;
  state.registers.rflags = 0x246;
  state.special_registers = sample_special_registers();
  state.xsave.assign(kMinXsaveBytes, std::byte{0});
  state.xsave[160] = std::byte{0x5a};
  state.xsave[512] = std::byte{7};
  state.xcrs.nr_xcrs = 1;
  state.xcrs.xcrs[0].value = 7;
  state.debug_registers.db[2] = 0x4000;
  state.debug_registers.dr6 = 0xffff0ff0;
  state.debug_registers.dr7 = 0x400;
  state.lapic.regs[0x20] = 3;
  state.lapic.regs[0x3ff] = 1;
  kvm_cpuid_entry2 entry{};
  entry.function = 0xd;
  entry.index = 1;
  entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  entry.eax = 0xf;
  entry.edx = 0x80000000;
  state.cpuid = {entry, entry};
  state.msrs = {{0x10, 0, 0x123456789a}, {0xc0000082, 0, 0xffffffff81000000}};
  state.events = sample_events();
  return state;
}

inline KvmVmState sample_vm_state() {
  KvmVmState state;
  state.pit.channels[0].count = 0x10000;
  state.pit.channels[0].mode = 2;
  state.pit.channels[0].rw_mode = 3;
  state.pit.channels[0].gate = 1;
  state.pit.channels[2].mode = 0xff;
  state.pit.channels[2].count_load_time = -5;
  state.pit.flags = KVM_PIT_FLAGS_SPEAKER_DATA_ON;
  state.clock.clock = 77'000'000'000;
  state.clock.flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
  state.clock.realtime = 1'700'000'000'000'000'000;
  state.clock.host_tsc = 0x8000000000000001;
  for (std::uint32_t chip = 0; chip < state.irqchips.size(); ++chip) {
    state.irqchips[chip].chip_id = chip;
  }
  state.irqchips[0].chip.pic.irq_base = 0x30;
  state.irqchips[0].chip.pic.elcr_mask = 0xf8;
  state.irqchips[0].chip.pic.elcr = 0x08;
  state.irqchips[1].chip.pic.irq_base = 0x38;
  state.irqchips[1].chip.pic.elcr_mask = 0xde;
  kvm_ioapic_state& ioapic = state.irqchips[2].chip.ioapic;
  ioapic.base_address = 0xfec00000;
  ioapic.ioregsel = 0x11;
  ioapic.id = 1;
  ioapic.irr = 0x800010;
  ioapic.redirtbl[23].bits = 0x0100000000010031;
  return state;
}

template <typename State>
Bytes encode(const State& state) {
  StateWriter out;
  state.save(out);
  return std::move(out).take();
}

template <typename State>
Result<State> decode(std::span<const std::byte> bytes) {
  StateReader in("test", bytes);
  Result<State> state = State::restore(in);
  if (state.ok()) {
    if (Status end = in.finish(); !end.ok()) {
      return std::move(end).error();
    }
  }
  return state;
}

template <typename State>
bool refused(const State& state) {
  return !decode<State>(encode(state)).ok();
}

/// The KVM of this machine, or nothing, said aloud.
inline std::optional<KvmSystem> kvm_or_skip() {
  Result<KvmSystem> system = KvmSystem::open();
  if (!system.ok()) {
    std::printf("SKIP: %s\n", system.error().text().c_str());
    return std::nullopt;
  }
  return std::move(system).value();
}

}  // namespace wisp::test
