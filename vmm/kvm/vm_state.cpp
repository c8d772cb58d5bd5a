#include "vmm/kvm/vm_state.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <string>

#include "vmm/kvm/state_fields.h"
#include "vmm/kvm/vm.h"

namespace wisp {
namespace {

// ---------------------------------------------------------------------------------------------------------------------
// The fields, in the order of the file.

template <typename Fields, typename State>
void visit_channel(Fields& fields, State& channel) {
  fields(channel.count, channel.latched_count, channel.count_latched, channel.status_latched, channel.status,
         channel.read_state, channel.write_state, channel.write_latch, channel.rw_mode, channel.mode, channel.bcd,
         channel.gate, channel.count_load_time);
}

template <typename Fields, typename State>
void visit_pit(Fields& fields, State& pit) {
  for (auto& channel : pit.channels) {
    visit_channel(fields, channel);
  }
  fields(pit.flags);
}

template <typename Fields, typename State>
void visit_clock(Fields& fields, State& clock) {
  fields(clock.clock, clock.flags, clock.realtime, clock.host_tsc);
}

template <typename Fields, typename State>
void visit_pic(Fields& fields, State& pic) {
  fields(pic.last_irr, pic.irr, pic.imr, pic.isr, pic.priority_add, pic.irq_base, pic.read_reg_select, pic.poll,
         pic.special_mask, pic.init_state, pic.auto_eoi, pic.rotate_on_auto_eoi, pic.special_fully_nested_mode,
         pic.init4, pic.elcr, pic.elcr_mask);
}

template <typename Fields, typename State>
void visit_ioapic(Fields& fields, State& ioapic) {
  fields(ioapic.base_address, ioapic.ioregsel, ioapic.id, ioapic.irr);
  for (auto& entry : ioapic.redirtbl) {
    fields(entry.bits);
  }
}

template <typename Fields, typename State>
void visit(Fields& fields, State& state) {
  visit_pit(fields, state.pit);
  visit_clock(fields, state.clock);
  visit_pic(fields, state.irqchips[KVM_IRQCHIP_PIC_MASTER].chip.pic);
  visit_pic(fields, state.irqchips[KVM_IRQCHIP_PIC_SLAVE].chip.pic);
  visit_ioapic(fields, state.irqchips[KVM_IRQCHIP_IOAPIC].chip.ioapic);
}

// ---------------------------------------------------------------------------------------------------------------------
// The rules.

constexpr std::uint32_t kMaxPitCount = 0x10000;
constexpr std::uint8_t kMaxByteOrder = 4;  // low, high, low then high, and the second half of that
constexpr std::uint8_t kMaxPitMode = 5;
constexpr std::uint8_t kPitModeNone = 0xff;  // KVM's: not programmed yet
constexpr std::uint32_t kPitFlags = KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON;

/// 146 years; KVM adds to these without looking.
constexpr std::uint64_t kMaxClockNs = std::uint64_t{1} << 62;
constexpr std::uint32_t kClockFlags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;

constexpr std::uint64_t kIoapicAddress = 0xfec00000;
constexpr std::uint32_t kIoapicLines = (1U << KVM_IOAPIC_NUM_PINS) - 1;
constexpr std::uint32_t kMaxIoapicId = 15;
/// Lines 0 to 2 of the first and 0 and 5 of the second PIC are edge-triggered for ever.
constexpr std::uint8_t kMasterLevelLines = 0xf8;
constexpr std::uint8_t kSlaveLevelLines = 0xde;

bool all_flags(std::initializer_list<std::uint8_t> values) {
  return std::ranges::all_of(values, [](std::uint8_t value) { return value <= 1; });
}

bool sound(const kvm_pit_channel_state& channel) {
  const bool order_known = channel.read_state <= kMaxByteOrder && channel.write_state <= kMaxByteOrder &&
                           channel.rw_mode <= kMaxByteOrder && channel.count_latched <= kMaxByteOrder;
  return channel.count <= kMaxPitCount && order_known &&
         (channel.mode <= kMaxPitMode || channel.mode == kPitModeNone) &&
         all_flags({channel.status_latched, channel.bcd, channel.gate});
}

bool sound(const kvm_pit_state2& pit) {
  return (pit.flags & ~kPitFlags) == 0 &&
         std::ranges::all_of(pit.channels, [](const kvm_pit_channel_state& each) { return sound(each); });
}

bool sound(const kvm_clock_data& clock) {
  return clock.clock <= kMaxClockNs && clock.realtime <= kMaxClockNs && (clock.flags & ~kClockFlags) == 0;
}

bool sound(const kvm_pic_state& pic, std::uint8_t level_lines) {
  return pic.elcr_mask == level_lines && (pic.elcr & ~level_lines) == 0 && pic.priority_add <= 7 &&
         pic.init_state <= 3 &&
         all_flags({pic.read_reg_select, pic.poll, pic.special_mask, pic.auto_eoi, pic.rotate_on_auto_eoi,
                    pic.special_fully_nested_mode, pic.init4});
}

bool sound(const kvm_ioapic_state& ioapic) {
  return ioapic.base_address == kIoapicAddress && ioapic.ioregsel <= 0xff && ioapic.id <= kMaxIoapicId &&
         (ioapic.irr & ~kIoapicLines) == 0;
}

Status transfer(FdRef vm, unsigned long request, void* argument, const char* what) {
  if (::ioctl(vm.raw(), request, argument) < 0) {
    return Error::host(errno, std::string("Kvm error: cannot ") + what);
  }
  return {};
}

/// What KVM_SET_CLOCK is to be given: it takes no flag but KVM_CLOCK_REALTIME.
Result<kvm_clock_data> clock_to_set(const kvm_clock_data& saved, ClockOnRestore clock) {
  kvm_clock_data wanted{};
  wanted.clock = saved.clock;
  if (clock == ClockOnRestore::AdvanceToNow) {
    if ((saved.flags & KVM_CLOCK_REALTIME) == 0) {
      return Error(ErrorCode::InvalidArgument, "clock_realtime requested but not present in the snapshot state");
    }
    wanted.flags = KVM_CLOCK_REALTIME;
    wanted.realtime = saved.realtime;
  }
  return wanted;
}

}  // namespace

void KvmVmState::save(StateWriter& out) const {
  FieldWriter fields(out);
  visit(fields, *this);
}

Result<KvmVmState> KvmVmState::restore(StateReader& in) {
  KvmVmState state;
  FieldReader fields(in);
  visit(fields, state);
  for (std::uint32_t chip = 0; chip < state.irqchips.size(); ++chip) {
    state.irqchips[chip].chip_id = chip;
  }
  (void)WISP_TRY(in.check(sound(state.pit), "a timer (PIT) field out of range"));
  (void)WISP_TRY(in.check(sound(state.clock), "a clock field out of range"));
  (void)WISP_TRY(in.check(sound(state.irqchips[KVM_IRQCHIP_PIC_MASTER].chip.pic, kMasterLevelLines) &&
                              sound(state.irqchips[KVM_IRQCHIP_PIC_SLAVE].chip.pic, kSlaveLevelLines),
                          "a field of the interrupt controllers (PIC) out of range"));
  (void)WISP_TRY(in.check(sound(state.irqchips[KVM_IRQCHIP_IOAPIC].chip.ioapic),
                          "a field of the interrupt controller (IOAPIC) out of range"));
  return state;
}

Result<KvmVmState> KvmVm::save_state() const {
  KvmVmState state;
  (void)WISP_TRY(transfer(fd_.ref(), KVM_GET_PIT2, &state.pit, "read the timer (PIT)"));
  (void)WISP_TRY(transfer(fd_.ref(), KVM_GET_CLOCK, &state.clock, "read the clock"));
  for (std::uint32_t chip = 0; chip < state.irqchips.size(); ++chip) {
    state.irqchips[chip].chip_id = chip;
    (void)WISP_TRY(transfer(fd_.ref(), KVM_GET_IRQCHIP, &state.irqchips[chip], "read an interrupt controller"));
  }
  return state;
}

Status KvmVm::restore_state(const KvmVmState& state, ClockOnRestore clock) const {
  kvm_clock_data wanted = WISP_TRY(clock_to_set(state.clock, clock));
  kvm_pit_state2 pit = state.pit;
  (void)WISP_TRY(transfer(fd_.ref(), KVM_SET_PIT2, &pit, "set the timer (PIT)"));
  (void)WISP_TRY(transfer(fd_.ref(), KVM_SET_CLOCK, &wanted, "set the clock"));
  for (kvm_irqchip chip : state.irqchips) {
    (void)WISP_TRY(transfer(fd_.ref(), KVM_SET_IRQCHIP, &chip, "set an interrupt controller"));
  }
  return {};
}

}  // namespace wisp
