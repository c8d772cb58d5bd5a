#include "vmm/kvm/capabilities.h"

#include <linux/kvm.h>

#include <array>

namespace wisp {
namespace {

constexpr std::array kNeeded = {
    KvmCapability{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", 1, "interrupt controllers"},
    KvmCapability{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", 1, "guest memory"},
    KvmCapability{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD", 1, "queue notifications"},
    KvmCapability{KVM_CAP_IRQFD, "KVM_CAP_IRQFD", 1, "device interrupts"},
    KvmCapability{KVM_CAP_PIT2, "KVM_CAP_PIT2", 1, "the interval timer"},
    KvmCapability{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", 1, "the guest's CPUID"},
    KvmCapability{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE", 1, "more than one processor"},
    KvmCapability{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR", 1, "real mode on Intel"},
    KvmCapability{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", 1, "pausing a processor"},
};

constexpr std::array kOptional = {
    KvmCapability{KVM_CAP_MAX_VCPUS, "KVM_CAP_MAX_VCPUS", 32, "machines with as many as 32 vCPUs"},
    KvmCapability{KVM_CAP_NR_MEMSLOTS, "KVM_CAP_NR_MEMSLOTS", 509, "memory hot-plug and pmem in many pieces"},
    KvmCapability{KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM", 1, "read-only pmem devices"},
    KvmCapability{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS", 1, "snapshots"},
    KvmCapability{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS", 1, "snapshots"},
    KvmCapability{KVM_CAP_XSAVE, "KVM_CAP_XSAVE", 1, "snapshots of vector registers"},
    KvmCapability{KVM_CAP_XCRS, "KVM_CAP_XCRS", 1, "snapshots of guests that use vector registers"},
    KvmCapability{KVM_CAP_XSAVE2, "KVM_CAP_XSAVE2", 1, "AMX in guests (kernel 5.17 or later)"},
    KvmCapability{KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2", 1, "snapshots of the interval timer"},
    KvmCapability{KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK", 1, "a right guest clock after a restore"},
    KvmCapability{KVM_CAP_KVMCLOCK_CTRL, "KVM_CAP_KVMCLOCK_CTRL", 1,
                  "quiet watchdogs: a guest may report a soft lockup after a pause"},
    KvmCapability{KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ", 1, "the TSC frequency in snapshots"},
    KvmCapability{KVM_CAP_TSC_CONTROL, "KVM_CAP_TSC_CONTROL", 1,
                  "restoring a snapshot from a host with another TSC frequency"},
    KvmCapability{KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER", 1, "cheap timers in the guest"},
};

}  // namespace

std::span<const KvmCapability> needed_kvm_capabilities() {
  return kNeeded;
}

std::span<const KvmCapability> optional_kvm_capabilities() {
  return kOptional;
}

}  // namespace wisp
