// KvmVm: one virtual machine's descriptor. One thin method per ioctl; the order of the calls is the machine's business.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

enum class DirtyLogging { Off, On };
enum class ClockOnRestore;
struct KvmVmState;

class KvmVm {
 public:
  KvmVm(Fd fd, std::size_t run_size_bytes) : fd_(std::move(fd)), run_size_bytes_(run_size_bytes) {}

  /// KVM_SET_TSS_ADDR: three pages that Intel hosts without unrestricted guests need.
  Status set_tss_address(std::uint64_t address) const;
  /// KVM_CREATE_IRQCHIP: PIC, IOAPIC and the LAPICs, in the kernel.
  Status create_irqchip() const;
  /// KVM_CREATE_PIT2 with a dummy speaker port.
  Status create_pit() const;
  Result<KvmVcpu> create_vcpu(std::uint32_t index) const;
  /// KVM_IRQFD: a signal on `event` becomes an edge on line `gsi`.
  Status bind_interrupt(FdRef event, std::uint32_t gsi) const;
  /// KVM_IOEVENTFD: a 32-bit write of `value` to `address` signals `event` instead of leaving the kernel. Without a
  /// value, any write there does (zero-length match: the fast MMIO path of hardware with EPT).
  Status bind_doorbell(FdRef event, std::uint64_t address, std::optional<std::uint32_t> value) const;
  /// PIT, clock and interrupt controllers (vm_state.h), while no vCPU runs.
  Result<KvmVmState> save_state() const;
  /// Behind the vCPUs' states: what is pending at the controllers reaches local APICs that are as they were.
  Status restore_state(const KvmVmState& state, ClockOnRestore clock) const;

 private:
  friend class KvmSlots;
  Fd fd_;
  std::size_t run_size_bytes_;
};

enum class SlotAccess { ReadWrite, ReadOnly };

/// Tells the kernel where guest memory lies. The only class that does.
///
/// Slot ids: region i of the memory has slot i; ids from region_count() on are the machine's to give out, for the slots
/// of the hot-pluggable region and for what a device maps (persistent memory). A slot may come and go while vCPUs run.
class KvmSlots {
 public:
  /// KVM_SET_USER_MEMORY_REGION for every region that is there from the start, in order. The hot-pluggable one is
  /// skipped: its slots follow with register_slot().
  static Status register_all(const KvmVm& vm, const GuestMemory& memory, DirtyLogging logging);
  /// A part of a region of `memory`, plugged or not, as slot `slot_id`.
  static Status register_slot(const KvmVm& vm, const GuestMemory& memory, std::uint32_t slot_id, GuestRange range,
                              DirtyLogging logging);
  /// When it returns, no vCPU can reach what the slot covered.
  static Status remove_slot(const KvmVm& vm, std::uint32_t slot_id);
  /// KVM_GET_DIRTY_LOG: which pages vCPUs have written since the last call, page 64 * i + b being bit b of word i. The
  /// log is empty afterwards. `page_count` is that of the slot: KVM writes as many bits as the slot has pages.
  static Result<std::vector<std::uint64_t>> take_dirty_log(const KvmVm& vm, std::uint32_t slot_id,
                                                           std::uint64_t page_count);
  /// What a device has mapped itself and lends with `iovec lend_iovec(KernelIoKey) const`. ReadOnly: a guest's write
  /// leaves the guest as an access to a device that is not there.
  template <typename Mapping>
  static Status register_mapping(const KvmVm& vm, std::uint32_t slot_id, GuestAddress address, const Mapping& mapping,
                                 SlotAccess access) {
    return set_slot(vm, slot_id, address, mapping.lend_iovec(KernelIoKey{}),
                    access == SlotAccess::ReadOnly ? KVM_MEM_READONLY : 0);
  }

 private:
  static Status set_slot(const KvmVm& vm, std::uint32_t slot_id, GuestAddress address, iovec host, std::uint32_t flags);
};

}  // namespace wisp
