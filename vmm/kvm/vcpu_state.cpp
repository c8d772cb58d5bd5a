#include "vmm/kvm/vcpu_state.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

#include "vmm/kvm/saved_msrs.h"
#include "vmm/kvm/state_fields.h"
#include "vmm/kvm/table.h"

namespace wisp {
namespace {

// ---------------------------------------------------------------------------------------------------------------------
// The fields, in the order of the file.

template <typename Fields, typename State>
void visit_registers(Fields& fields, State& regs) {
  fields(regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rsp, regs.rbp);
  fields(regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15, regs.rip, regs.rflags);
}

template <typename Fields, typename State>
void visit_segment(Fields& fields, State& segment) {
  fields(segment.base, segment.limit, segment.selector, segment.type, segment.present, segment.dpl, segment.db,
         segment.s, segment.l, segment.g, segment.avl, segment.unusable);
}

template <typename Fields, typename State>
void visit_special_registers(Fields& fields, State& sregs) {
  for (auto* segment : {&sregs.cs, &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss, &sregs.tr, &sregs.ldt}) {
    visit_segment(fields, *segment);
  }
  fields(sregs.gdt.base, sregs.gdt.limit, sregs.idt.base, sregs.idt.limit);
  fields(sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer, sregs.apic_base);
  for (auto& word : sregs.interrupt_bitmap) {
    fields(word);
  }
}

template <typename Fields, typename State>
void visit_debug_registers(Fields& fields, State& debug) {
  fields(debug.db[0], debug.db[1], debug.db[2], debug.db[3], debug.dr6, debug.dr7);
}

template <typename Fields, typename State>
void visit_cpuid(Fields& fields, State& entry) {
  fields(entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx);
}

template <typename Fields, typename State>
void visit_events(Fields& fields, State& events) {
  fields(events.exception.injected, events.exception.nr, events.exception.has_error_code, events.exception.pending,
         events.exception.error_code);
  fields(events.interrupt.injected, events.interrupt.nr, events.interrupt.soft, events.interrupt.shadow);
  fields(events.nmi.injected, events.nmi.pending, events.nmi.masked, events.sipi_vector, events.flags);
  fields(events.smi.smm, events.smi.pending, events.smi.smm_inside_nmi, events.smi.latched_init);
}

// ---------------------------------------------------------------------------------------------------------------------
// The rules.

constexpr std::uint32_t kVmxBit = 1U << 5;  // CPUID 0x1 ecx
constexpr std::uint32_t kSvmBit = 1U << 2;  // CPUID 0x80000001 ecx
constexpr std::uint64_t kCr4VmxEnable = 1U << 13;
constexpr std::uint64_t kEferSvmEnable = 1U << 12;
constexpr std::uint64_t kMaxCr8 = 15;
/// Bits 3, 5, 15 and all from 22 are zero on every processor, bit 1 is one (Intel SDM 1, 3.4.3).
constexpr std::uint64_t kFlagBits = 0x3f7fd7;
constexpr std::uint64_t kFlagAlwaysSet = 0x2;
constexpr std::uint32_t kMaxException = 31;
constexpr std::uint32_t kNmiVector = 2;
/// wisp turns on none of the capabilities that the other flags need.
constexpr std::uint32_t kEventFlags =
    KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
constexpr std::uint8_t kShadows = KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI;
/// The XSAVE header behind the legacy area: which parts are there, then zeros in the uncompacted format.
constexpr std::size_t kXsaveHeaderZeros = 512 + 8;
constexpr std::size_t kXsaveHeaderEnd = 512 + 64;

bool all_flags(std::initializer_list<std::uint8_t> values) {
  return std::ranges::all_of(values, [](std::uint8_t value) { return value <= 1; });
}

bool sound(const kvm_segment& segment) {
  return segment.type <= 15 && segment.dpl <= 3 &&
         all_flags({segment.present, segment.db, segment.s, segment.l, segment.g, segment.avl, segment.unusable});
}

bool sound(const kvm_sregs& sregs) {
  int pending = 0;
  for (const auto word : sregs.interrupt_bitmap) {
    pending += std::popcount(static_cast<std::uint64_t>(word));
  }
  return pending <= 1 && sregs.cr8 <= kMaxCr8 && sound(sregs.cs) && sound(sregs.ds) && sound(sregs.es) &&
         sound(sregs.fs) && sound(sregs.gs) && sound(sregs.ss) && sound(sregs.tr) && sound(sregs.ldt);
}

bool sound(const kvm_vcpu_events& events) {
  const auto& exception = events.exception;
  const bool has_exception = exception.injected != 0 || exception.pending != 0;
  if (has_exception && (exception.nr > kMaxException || exception.nr == kNmiVector)) {
    return false;
  }
  // Pending NMIs are counted; the processor remembers one beside the one that it handles.
  return (events.flags & ~kEventFlags) == 0 && (events.interrupt.shadow & ~kShadows) == 0 && events.nmi.pending <= 2 &&
         all_flags({exception.injected, exception.has_error_code, exception.pending, events.interrupt.injected,
                    events.interrupt.soft, events.nmi.injected, events.nmi.masked, events.smi.smm, events.smi.pending,
                    events.smi.smm_inside_nmi, events.smi.latched_init});
}

bool sound_xsave(std::span<const std::byte> xsave) {
  if (xsave.size() < kMinXsaveBytes) {
    return false;
  }
  const auto zeros = xsave.subspan(kXsaveHeaderZeros, kXsaveHeaderEnd - kXsaveHeaderZeros);
  return std::ranges::all_of(zeros, [](std::byte each) { return each == std::byte{0}; });
}

bool offers_nesting(const kvm_cpuid_entry2& entry) {
  return (entry.function == 0x1 && (entry.ecx & kVmxBit) != 0) ||
         (entry.function == 0x80000001 && (entry.ecx & kSvmBit) != 0);
}

bool uses_nesting(const kvm_sregs& sregs) {
  return (sregs.cr4 & kCr4VmxEnable) != 0 || (sregs.efer & kEferSvmEnable) != 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// The parts that have a length.

void save_xcrs(FieldWriter& fields, const kvm_xcrs& xcrs) {
  fields(xcrs.nr_xcrs);
  const std::size_t count = std::min<std::size_t>(xcrs.nr_xcrs, KVM_MAX_XCRS);
  for (const kvm_xcr& each : std::span(xcrs.xcrs).first(count)) {
    fields(each.xcr, each.value);
  }
}

Status restore_xcrs(StateReader& in, kvm_xcrs& xcrs) {
  FieldReader fields(in);
  fields(xcrs.nr_xcrs);
  (void)WISP_TRY(in.check(xcrs.nr_xcrs <= KVM_MAX_XCRS, "too many extended control registers"));
  for (kvm_xcr& each : std::span(xcrs.xcrs).first(xcrs.nr_xcrs)) {
    fields(each.xcr, each.value);
    (void)WISP_TRY(in.check(each.xcr == 0, "an extended control register other than XCR0"));
  }
  return {};
}

Status restore_cpuid(StateReader& in, std::vector<kvm_cpuid_entry2>& cpuid) {
  FieldReader fields(in);
  const std::uint32_t count = in.u32();
  (void)WISP_TRY(in.check(count <= kMaxCpuidEntries, "too many CPUID entries"));
  for (std::uint32_t index = 0; index < count; ++index) {
    kvm_cpuid_entry2 entry{};
    visit_cpuid(fields, entry);
    (void)WISP_TRY(in.check((entry.flags & ~std::uint32_t{KVM_CPUID_FLAG_SIGNIFCANT_INDEX}) == 0,
                            "a CPUID entry with an unknown flag"));
    (void)WISP_TRY(in.check(!offers_nesting(entry), "a CPUID entry that offers nested virtualisation"));
    cpuid.push_back(entry);
  }
  return {};
}

Status restore_msrs(StateReader& in, std::vector<kvm_msr_entry>& msrs) {
  const std::uint32_t count = in.u32();
  (void)WISP_TRY(in.check(count <= kMaxSavedMsrs, "too many MSRs"));
  for (std::uint32_t position = 0; position < count; ++position) {
    kvm_msr_entry entry{};
    entry.index = in.u32();
    entry.data = in.u64();
    (void)WISP_TRY(in.check(is_saved_msr(entry.index), "an MSR that snapshots must not set"));
    msrs.push_back(entry);
  }
  return {};
}

Status restore_registers(StateReader& in, VcpuState& state) {
  FieldReader fields(in);
  fields(state.tsc_khz, state.mp_state.mp_state);
  (void)WISP_TRY(in.check(state.mp_state.mp_state <= KVM_MP_STATE_SIPI_RECEIVED, "an unknown processor state"));
  visit_registers(fields, state.registers);
  const std::uint64_t flags = state.registers.rflags;
  (void)WISP_TRY(in.check((flags & ~kFlagBits) == 0 && (flags & kFlagAlwaysSet) != 0, "reserved bits in the flags"));
  visit_special_registers(fields, state.special_registers);
  (void)WISP_TRY(in.check(sound(state.special_registers), "a special register out of range"));
  return in.check(!uses_nesting(state.special_registers), "control registers that turn on nested virtualisation");
}

}  // namespace

void VcpuState::save(StateWriter& out) const {
  FieldWriter fields(out);
  fields(tsc_khz, mp_state.mp_state);
  visit_registers(fields, registers);
  visit_special_registers(fields, special_registers);
  out.bytes(xsave);
  save_xcrs(fields, xcrs);
  visit_debug_registers(fields, debug_registers);
  out.raw(std::as_bytes(std::span(lapic.regs)));
  out.u32(static_cast<std::uint32_t>(cpuid.size()));
  for (const kvm_cpuid_entry2& entry : cpuid) {
    visit_cpuid(fields, entry);
  }
  out.u32(static_cast<std::uint32_t>(msrs.size()));
  for (const kvm_msr_entry& entry : msrs) {
    fields(entry.index, entry.data);
  }
  visit_events(fields, events);
}

Result<VcpuState> VcpuState::restore(StateReader& in) {
  VcpuState state;
  FieldReader fields(in);
  (void)WISP_TRY(restore_registers(in, state));
  const auto xsave = in.bytes(kMaxXsaveBytes);
  (void)WISP_TRY(in.check(sound_xsave(xsave), "floating-point state of a wrong size or form"));
  state.xsave.assign(xsave.begin(), xsave.end());
  (void)WISP_TRY(restore_xcrs(in, state.xcrs));
  visit_debug_registers(fields, state.debug_registers);
  in.raw(std::as_writable_bytes(std::span(state.lapic.regs)));
  (void)WISP_TRY(restore_cpuid(in, state.cpuid));
  (void)WISP_TRY(restore_msrs(in, state.msrs));
  visit_events(fields, state.events);
  (void)WISP_TRY(in.check(sound(state.events), "a pending event out of range"));
  return state;
}

bool tsc_differs(std::uint32_t saved_khz, std::uint32_t present_khz) {
  constexpr std::uint64_t kTolerancePpm = 250;
  constexpr std::uint64_t kMillion = 1'000'000;
  const std::uint64_t difference = saved_khz > present_khz ? saved_khz - present_khz : present_khz - saved_khz;
  return difference * kMillion > std::uint64_t{present_khz} * kTolerancePpm;
}

}  // namespace wisp
