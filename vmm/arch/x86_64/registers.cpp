#include "vmm/arch/x86_64/registers.h"

#include <array>
#include <cstring>

#include "vmm/arch/x86_64/gdt.h"
#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/layout.h"

namespace wisp::arch {
namespace {

/// Null, code, data, task: the order is that of the selectors.
using SegmentTable = std::array<Segment, 4>;
constexpr SegmentTable kPvhSegments = {{{}, {0xc09b, 0xfffff}, {0xc093, 0xfffff}, {0x008b, 0x67}}};
constexpr SegmentTable kLinux64Segments = {{{}, {0xa09b, 0xfffff}, {0xc093, 0xfffff}, {0x808b, 0xfffff}}};

constexpr const SegmentTable& segments_of(BootProtocol protocol) {
  return protocol == BootProtocol::Pvh ? kPvhSegments : kLinux64Segments;
}

constexpr std::uint64_t kFlagsAlwaysSet = 0x2;
constexpr std::uint64_t kCr0ProtectedMode = 1U << 0;
constexpr std::uint64_t kCr0ExtensionType = 1U << 4;
constexpr std::uint64_t kCr0NotWriteThrough = 1U << 29;
constexpr std::uint64_t kCr0CacheDisable = 1U << 30;
constexpr std::uint64_t kCr0Paging = 1U << 31;
constexpr std::uint64_t kCr4PhysicalAddressExtension = 1U << 5;
constexpr std::uint64_t kEferLongModeEnable = 1U << 8;
constexpr std::uint64_t kEferLongModeActive = 1U << 10;

constexpr std::uint32_t kMsrMiscEnable = 0x1a0;
constexpr std::uint32_t kMsrMtrrDefaultType = 0x2ff;
constexpr std::uint64_t kFastStrings = 1;
constexpr std::uint64_t kMtrrEnabledWriteBack = 1U << 11 | 6;

/// SYSENTER_CS, _ESP, _EIP, STAR, CSTAR, KERNEL_GS_BASE, SYSCALL_MASK, LSTAR, TSC; then what is not zero.
constexpr std::array<kvm_msr_entry, 11> kBootMsrs = {{
    {0x174, 0, 0},
    {0x175, 0, 0},
    {0x176, 0, 0},
    {0xc0000081, 0, 0},
    {0xc0000083, 0, 0},
    {0xc0000102, 0, 0},
    {0xc0000084, 0, 0},
    {0xc0000082, 0, 0},
    {0x10, 0, 0},
    {kMsrMiscEnable, 0, kFastStrings},
    {kMsrMtrrDefaultType, 0, kMtrrEnabledWriteBack},
}};

constexpr std::size_t kLapicLint0 = 0x350;
constexpr std::size_t kLapicLint1 = 0x360;
constexpr std::uint32_t kDeliveryModeMask = 7U << 8;
constexpr std::uint32_t kDeliverNmi = 4U << 8;
constexpr std::uint32_t kDeliverExtInt = 7U << 8;

void set_delivery_mode(kvm_lapic_state& lapic, std::size_t offset, std::uint32_t mode) {
  std::uint32_t value = 0;
  std::memcpy(&value, &lapic.regs[offset], sizeof(value));
  value = (value & ~kDeliveryModeMask) | mode;
  std::memcpy(&lapic.regs[offset], &value, sizeof(value));
}

}  // namespace

Status write_descriptor_tables(const GuestMemory& memory, BootProtocol protocol) {
  std::array<Le64, 4> entries;
  for (std::size_t index = 0; index < entries.size(); ++index) {
    entries[index] = gdt_entry(segments_of(protocol)[index]);
  }
  // The interrupt table has one entry, which is zero, as fresh memory is.
  return put_bytes(memory, kBootGdt.start, std::as_bytes(std::span(entries)), "the boot segment table");
}

kvm_regs boot_registers(BootProtocol protocol, GuestAddress entry) {
  kvm_regs regs{};
  regs.rflags = kFlagsAlwaysSet;
  regs.rip = entry.value();
  if (protocol == BootProtocol::Pvh) {
    regs.rbx = kPvhStartInfo.start.value();
  } else {
    regs.rsi = kZeroPage.start.value();
    regs.rsp = end_of(kBootStack);
    regs.rbp = end_of(kBootStack);
  }
  return regs;
}

kvm_sregs boot_special_registers(BootProtocol protocol, const kvm_sregs& at_reset) {
  kvm_sregs sregs = at_reset;
  const SegmentTable& segments = segments_of(protocol);
  sregs.cs = segment_register(segments[1], 1);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment_register(segments[2], 2);
  sregs.tr = segment_register(segments[3], 3);
  sregs.gdt.base = kBootGdt.start.value();
  sregs.gdt.limit = static_cast<__u16>(kBootGdt.size_bytes - 1);
  sregs.idt.base = kBootIdt.start.value();
  sregs.idt.limit = static_cast<__u16>(kBootIdt.size_bytes - 1);
  if (protocol == BootProtocol::Pvh) {
    sregs.cr0 = kCr0ProtectedMode | kCr0ExtensionType;
    sregs.cr3 = 0;
    sregs.cr4 = 0;
  } else {
    // A processor comes out of reset with its caches off; firmware has turned them on by the time a kernel is entered.
    sregs.cr0 =
        (at_reset.cr0 & ~(kCr0CacheDisable | kCr0NotWriteThrough)) | kCr0ProtectedMode | kCr0ExtensionType | kCr0Paging;
    sregs.cr3 = kPml4.start.value();
    sregs.cr4 |= kCr4PhysicalAddressExtension;
    sregs.efer |= kEferLongModeEnable | kEferLongModeActive;
  }
  return sregs;
}

kvm_fpu boot_fpu() {
  kvm_fpu fpu{};
  fpu.fcw = 0x37f;
  fpu.mxcsr = 0x1f80;
  return fpu;
}

std::span<const kvm_msr_entry> boot_msrs() {
  return kBootMsrs;
}

void set_local_interrupts(kvm_lapic_state& lapic) {
  set_delivery_mode(lapic, kLapicLint0, kDeliverExtInt);
  set_delivery_mode(lapic, kLapicLint1, kDeliverNmi);
}

}  // namespace wisp::arch
