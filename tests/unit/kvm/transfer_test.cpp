// With a real KVM: what was saved from one machine is found again in another. Without /dev/kvm the cases say SKIP.
#include <array>
#include <cstring>

#include "tests/unit/kvm/state_samples.h"
#include "vmm/kvm/table.h"

namespace wisp {
namespace {

using test::decode;
using test::encode;
using test::kvm_or_skip;

struct Machine {
  KvmVm vm;
  KvmVcpu vcpu;
};

Machine make_machine(const KvmSystem& system) {
  KvmVm vm = system.create_vm().value();
  REQUIRE(vm.create_irqchip().ok());
  REQUIRE(vm.create_pit().ok());
  KvmVcpu vcpu = vm.create_vcpu(0).value();
  return Machine{std::move(vm), std::move(vcpu)};
}

/// A vCPU in the middle of something: no register as after a reset.
void disturb(const KvmSystem& system, const Machine& machine) {
  std::vector<kvm_cpuid_entry2> cpuid = system.supported_cpuid().value();
  for (kvm_cpuid_entry2& entry : cpuid) {
    entry.ecx &= ~(entry.function == 0x1 ? 1U << 5 : entry.function == 0x80000001 ? 1U << 2 : 0U);
  }
  REQUIRE(machine.vcpu.set_cpuid(cpuid).ok());
  kvm_regs registers{};
  registers.rax = 0x1122334455667788;
  registers.r15 = 15;
  registers.rip = 0x1234;
  registers.rflags = 0x202;
  REQUIRE(machine.vcpu.set_registers(registers).ok());
  kvm_sregs special = machine.vcpu.special_registers().value();
  special.cr2 = 0xabc000;
  special.fs.base = 0x7000;
  REQUIRE(machine.vcpu.set_special_registers(special).ok());
  kvm_lapic_state lapic = machine.vcpu.lapic().value();
  lapic.regs[0x80] = 0x20;  // task priority
  REQUIRE(machine.vcpu.set_lapic(lapic).ok());
  const std::array<kvm_msr_entry, 2> msrs = {{{0x175, 0, 0x8000}, {0xc0000102, 0, 0x9000}}};
  REQUIRE(machine.vcpu.set_msrs(msrs).ok());
}

/// Time goes on between two captures.
VcpuState without_time(VcpuState state) {
  std::erase_if(state.msrs, [](const kvm_msr_entry& entry) { return entry.index == kMsrTsc; });
  return state;
}

TEST_CASE("A vCPU's state restored into another machine's vCPU is the state that was saved") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const std::vector<std::uint32_t> indices = system->saved_msr_indices().value();
  const Machine source = make_machine(*system);
  disturb(*system, source);
  Result<VcpuState> saved = source.vcpu.save_state(indices);
  REQUIRE(saved.ok());
  CHECK(saved.value().registers.rax == 0x1122334455667788);
  // xmm3, and that the SSE registers are not as after a reset.
  saved.value().xsave[160 + 3 * 16 + 5] = std::byte{0x42};
  saved.value().xsave[512] |= std::byte{2};
  CHECK(saved.value().msrs.size() == indices.size());

  const Result<VcpuState> loaded = decode<VcpuState>(encode(saved.value()));
  REQUIRE(loaded.ok());
  const Machine target = make_machine(*system);
  const Status restored = target.vcpu.restore_state(loaded.value());
  INFO((restored.ok() ? std::string() : restored.error().text()));
  REQUIRE(restored.ok());

  const Result<VcpuState> again = target.vcpu.save_state(indices);
  REQUIRE(again.ok());
  CHECK(encode(without_time(again.value())) == encode(without_time(saved.value())));
}

TEST_CASE("A second processor that waits for its start still waits after a restore") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const Machine source = make_machine(*system);
  const KvmVcpu second = source.vm.create_vcpu(1).value();
  REQUIRE(second.set_cpuid(system->supported_cpuid().value()).ok());
  const VcpuState saved = second.save_state(system->saved_msr_indices().value()).value();
  CHECK(saved.mp_state.mp_state == KVM_MP_STATE_UNINITIALIZED);

  const Machine target = make_machine(*system);
  const KvmVcpu restored = target.vm.create_vcpu(1).value();
  REQUIRE(restored.restore_state(saved).ok());

  const VcpuState again = restored.save_state(system->saved_msr_indices().value()).value();
  CHECK(encode(without_time(again)) == encode(without_time(saved)));
}

TEST_CASE("The TSC goes on from where it was saved") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const std::array<std::uint32_t, 1> indices = {kMsrTsc};
  const Machine source = make_machine(*system);
  disturb(*system, source);
  constexpr std::uint64_t kFarAhead = 1ULL << 60;
  const std::array<kvm_msr_entry, 1> far_ahead = {{{kMsrTsc, 0, kFarAhead}}};
  REQUIRE(source.vcpu.set_msrs(far_ahead).ok());
  const VcpuState state = source.vcpu.save_state(indices).value();
  if (state.msrs[0].data < kFarAhead) {
    std::printf("SKIP: this KVM cannot shift a guest's TSC\n");
    return;
  }

  const Machine target = make_machine(*system);
  REQUIRE(target.vcpu.restore_state(state).ok());

  CHECK(target.vcpu.save_state(indices).value().msrs[0].data >= kFarAhead);
}

TEST_CASE("A deadline timer that reads zero is saved as due, and its register comes last") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const std::array<std::uint32_t, 3> indices = {kMsrTscDeadline, kMsrTsc, 0x174};
  const Machine source = make_machine(*system);
  disturb(*system, source);
  CHECK(source.vcpu.save_state(indices).value().msrs.back().data == 0);

  kvm_lapic_state lapic = source.vcpu.lapic().value();
  const std::uint32_t deadline_mode = 2U << 17 | 0xec;
  std::memcpy(&lapic.regs[0x320], &deadline_mode, sizeof(deadline_mode));
  REQUIRE(source.vcpu.set_lapic(lapic).ok());
  const VcpuState state = source.vcpu.save_state(indices).value();

  REQUIRE(state.msrs.size() == 3);
  CHECK(state.msrs.back().index == kMsrTscDeadline);
  CHECK(state.msrs.back().data == state.msrs.front().data);
  CHECK(state.msrs.back().data != 0);
}

TEST_CASE("An MSR outside the allow list cannot be saved") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const Machine source = make_machine(*system);
  const std::array<std::uint32_t, 1> indices = {0xc0000080};
  const auto saved = source.vcpu.save_state(indices);
  REQUIRE_FALSE(saved.ok());
  CHECK(saved.error().text().find("MSR 0xc0000080") != std::string::npos);
}

TEST_CASE("Floating-point state of another size needs another CPU") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const Machine source = make_machine(*system);
  disturb(*system, source);
  VcpuState state = source.vcpu.save_state({}).value();
  state.xsave.resize(state.xsave.size() + 64);
  const Machine target = make_machine(*system);
  const Status restored = target.vcpu.restore_state(state);
  REQUIRE_FALSE(restored.ok());
  CHECK(restored.error().text().find("needs another CPU") != std::string::npos);
}

TEST_CASE("A machine's timer and controllers restored into another machine are those that were saved") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const Machine source = make_machine(*system);
  KvmVmState state = source.vm.save_state().value();
  REQUIRE(decode<KvmVmState>(encode(state)).ok());  // also a fresh machine's passes the checks
  state.irqchips[0].chip.pic.irq_base = 0x30;
  state.irqchips[2].chip.ioapic.redirtbl[5].bits = 0x10031;
  state.clock.clock = 5'000'000'000'000;

  const Machine target = make_machine(*system);
  REQUIRE(target.vm.restore_state(state, ClockOnRestore::Continue).ok());
  KvmVmState again = target.vm.save_state().value();

  CHECK(again.clock.clock >= 5'000'000'000'000);
  CHECK(again.clock.clock < 5'060'000'000'000);
  // Time: the clock, and when the PIT's counters were loaded.
  again.clock = state.clock;
  for (std::size_t channel = 0; channel < 3; ++channel) {
    again.pit.channels[channel].count_load_time = state.pit.channels[channel].count_load_time;
  }
  CHECK(encode(again) == encode(state));
}

TEST_CASE("The clock moves on by the time that has passed, if the snapshot knows when it was taken") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const Machine source = make_machine(*system);
  KvmVmState state = source.vm.save_state().value();
  const Machine target = make_machine(*system);
  if ((state.clock.flags & KVM_CLOCK_REALTIME) != 0) {
    constexpr std::uint64_t kHourNs = 3'600'000'000'000;
    state.clock.realtime -= kHourNs;
    REQUIRE(target.vm.restore_state(state, ClockOnRestore::AdvanceToNow).ok());
    CHECK(target.vm.save_state().value().clock.clock >= state.clock.clock + kHourNs);
  }

  state.clock.flags = 0;
  const Status restored = target.vm.restore_state(state, ClockOnRestore::AdvanceToNow);
  REQUIRE_FALSE(restored.ok());
  CHECK(restored.error().text() == "clock_realtime requested but not present in the snapshot state");
  CHECK(target.vm.restore_state(state, ClockOnRestore::Continue).ok());
}

/// Real mode: writes a byte to 0x3000, then halts.
constexpr std::array<unsigned char, 4> kWriteAndHalt = {0xa2, 0x00, 0x30, 0xf4};

TEST_CASE("The dirty log names the page that the guest wrote, once") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  constexpr std::uint64_t kPages = 65;
  const GuestRange range{GuestAddress(0), kPages * kPageSizeBytes};
  const GuestMemory memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
  REQUIRE(memory.write_bytes(GuestAddress(0x1000), std::as_bytes(std::span(kWriteAndHalt))));
  const KvmVm vm = system->create_vm().value();
  REQUIRE(KvmSlots::register_all(vm, memory, DirtyLogging::On).ok());
  const KvmVcpu vcpu = vm.create_vcpu(0).value();
  kvm_sregs special = vcpu.special_registers().value();
  special.cs.base = 0;
  special.cs.selector = 0;
  REQUIRE(vcpu.set_special_registers(special).ok());
  kvm_regs registers{};
  registers.rip = 0x1000;
  registers.rflags = 2;
  REQUIRE(vcpu.set_registers(registers).ok());

  REQUIRE(vcpu.run() == 0);
  REQUIRE(vcpu.shared().exit_reason == KVM_EXIT_HLT);

  const auto first = KvmSlots::take_dirty_log(vm, 0, kPages);
  REQUIRE(first.ok());
  CHECK(first.value() == std::vector<std::uint64_t>{1U << 3, 0});
  CHECK(KvmSlots::take_dirty_log(vm, 0, kPages).value() == std::vector<std::uint64_t>{0, 0});
}

TEST_CASE("A slot without a dirty log says how to get one") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const GuestRange range{GuestAddress(0), kPageSizeBytes};
  const GuestMemory memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
  const KvmVm vm = system->create_vm().value();
  REQUIRE(KvmSlots::register_all(vm, memory, DirtyLogging::Off).ok());
  const auto log = KvmSlots::take_dirty_log(vm, 0, 1);
  REQUIRE_FALSE(log.ok());
  CHECK(log.error().text().find("track_dirty_pages") != std::string::npos);
}

TEST_CASE("The saved MSRs are those of KVM's list that the allow list has") {
  const auto system = kvm_or_skip();
  if (!system) {
    return;
  }
  const auto indices = system->saved_msr_indices().value();
  CHECK(std::ranges::all_of(indices, is_saved_msr));
  for (const std::uint32_t index : {kMsrTsc, 0x174U, 0xc0000082U}) {
    CHECK(std::ranges::count(indices, index) == 1);
  }
}

}  // namespace
}  // namespace wisp
