#include "vmm/arch/x86_64/registers.h"

#include "tests/unit/arch/kernel_builder.h"
#include "vmm/arch/x86_64/gdt.h"
#include "vmm/arch/x86_64/page_tables.h"

namespace wisp::arch {
namespace {

using test::make_memory;
using test::read_guest_value;

kvm_sregs at_reset() {
  kvm_sregs sregs{};
  sregs.cr0 = 0x60000010;
  sregs.apic_base = 0xfee00900;
  return sregs;
}

TEST_CASE("A PVH kernel is entered in 32-bit protected mode without paging, start info in rbx") {
  const kvm_regs regs = boot_registers(BootProtocol::Pvh, GuestAddress(0x1000000));
  CHECK(regs.rip == 0x1000000);
  CHECK(regs.rflags == 2);
  CHECK(regs.rbx == 0x6000);
  CHECK(regs.rsp == 0);

  const kvm_sregs sregs = boot_special_registers(BootProtocol::Pvh, at_reset());
  CHECK(sregs.cr0 == 0x11);
  CHECK(sregs.cr3 == 0);
  CHECK(sregs.cr4 == 0);
  CHECK(sregs.cs.db == 1);
  CHECK(sregs.cs.l == 0);
  CHECK(sregs.cs.limit == 0xffffffff);
  CHECK(sregs.cs.selector == 8);
  CHECK(sregs.ds.selector == 16);
  CHECK(sregs.tr.type == 0xb);
  CHECK(sregs.tr.limit == 0x67);
  CHECK(sregs.apic_base == 0xfee00900);
}

TEST_CASE("A 64-bit Linux kernel is entered in long mode with paging, zero page in rsi") {
  const kvm_regs regs = boot_registers(BootProtocol::Linux64, GuestAddress(0x100200));
  CHECK(regs.rip == 0x100200);
  CHECK(regs.rflags == 2);
  CHECK(regs.rsi == 0x7000);
  CHECK(regs.rsp == 0x8ff0);
  CHECK(regs.rbp == 0x8ff0);

  const kvm_sregs sregs = boot_special_registers(BootProtocol::Linux64, at_reset());
  CHECK(sregs.cr0 == 0x80000011);  // caches on
  CHECK(sregs.cr3 == 0x9000);
  CHECK(sregs.cr4 == 0x20);
  CHECK(sregs.efer == 0x500);
  CHECK(sregs.cs.l == 1);
  CHECK(sregs.cs.db == 0);
  CHECK(sregs.cs.type == 0xb);
  CHECK(sregs.gdt.base == 0x500);
  CHECK(sregs.gdt.limit == 31);
  CHECK(sregs.idt.base == 0x520);
  CHECK(sregs.idt.limit == 7);
}

TEST_CASE("The segment table in memory holds what the segment registers hold") {
  const GuestMemory memory = make_memory(test::kTestMib);
  REQUIRE(write_descriptor_tables(memory, BootProtocol::Linux64).ok());
  CHECK(read_guest_value<std::uint64_t>(memory, 0x500) == 0);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x508) == 0x00af9b000000ffff);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x510) == 0x00cf93000000ffff);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x518) == 0x008f8b000000ffff);

  REQUIRE(write_descriptor_tables(memory, BootProtocol::Pvh).ok());
  CHECK(read_guest_value<std::uint64_t>(memory, 0x508) == 0x00cf9b000000ffff);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x518) == 0x00008b0000000067);
}

TEST_CASE("The boot page tables map the first GiB to itself and nothing else") {
  const GuestMemory memory = make_memory(test::kTestMib);
  REQUIRE(write_page_tables(memory).ok());
  CHECK(read_guest_value<std::uint64_t>(memory, 0x9000) == 0xa003);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x9008) == 0);
  CHECK(read_guest_value<std::uint64_t>(memory, 0xa000) == 0xb003);
  CHECK(read_guest_value<std::uint64_t>(memory, 0xa008) == 0);
  for (std::uint64_t index = 0; index < 512; ++index) {
    CHECK(read_guest_value<std::uint64_t>(memory, 0xb000 + index * 8) == ((index << 21) | 0x83));
  }
}

TEST_CASE("The FPU starts as after FNINIT, with SSE exceptions masked") {
  CHECK(boot_fpu().fcw == 0x37f);
  CHECK(boot_fpu().mxcsr == 0x1f80);
}

TEST_CASE("Boot MSRs turn on fast strings and write-back memory, everything else is zero") {
  std::uint64_t misc_enable = 0;
  std::uint64_t mtrr = 0;
  for (const kvm_msr_entry& entry : boot_msrs()) {
    if (entry.index == 0x1a0) {
      misc_enable = entry.data;
    } else if (entry.index == 0x2ff) {
      mtrr = entry.data;
    } else {
      CHECK(entry.data == 0);
    }
  }
  CHECK(misc_enable == 1);
  CHECK(mtrr == 0x806);
  CHECK(boot_msrs().size() == 11);
}

TEST_CASE("Local interrupt pins get their delivery modes and keep their other bits") {
  kvm_lapic_state lapic{};
  const std::uint32_t masked = 0x10000;
  std::memcpy(&lapic.regs[0x350], &masked, 4);
  std::memcpy(&lapic.regs[0x360], &masked, 4);

  set_local_interrupts(lapic);

  std::uint32_t lint0 = 0;
  std::uint32_t lint1 = 0;
  std::memcpy(&lint0, &lapic.regs[0x350], 4);
  std::memcpy(&lint1, &lapic.regs[0x360], 4);
  CHECK(lint0 == 0x10700);
  CHECK(lint1 == 0x10400);
}

}  // namespace
}  // namespace wisp::arch
