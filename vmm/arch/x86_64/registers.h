// What the boot processor's registers hold when it enters the kernel.
//
//   PVH            32-bit protected mode without paging, rbx = start info
//   Linux 64-bit   long mode on the boot page tables, rsi = zero page, a small stack
//
// Every vCPU gets them; the others wait for INIT and SIPI, which reset theirs.
#pragma once

#include <linux/kvm.h>

#include <span>

#include "vmm/arch/x86_64/kernel_image.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

/// Writes the descriptor tables that the segment registers below were loaded from.
Status write_descriptor_tables(const GuestMemory& memory, BootProtocol protocol);

kvm_regs boot_registers(BootProtocol protocol, GuestAddress entry);
/// `at_reset` is what KVM reports for a new vCPU; what the protocol does not care about stays as it is.
kvm_sregs boot_special_registers(BootProtocol protocol, const kvm_sregs& at_reset);
kvm_fpu boot_fpu();
std::span<const kvm_msr_entry> boot_msrs();
/// Wires the local interrupt pins as firmware does: LINT0 takes the 8259, LINT1 the NMI.
void set_local_interrupts(kvm_lapic_state& lapic);

}  // namespace wisp::arch
