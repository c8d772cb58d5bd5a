// KvmVm: one virtual machine's descriptor. One thin method per ioctl; the order of the calls is the machine's business.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <optional>

#include "vmm/base/fd.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

enum class DirtyLogging { Off, On };

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

 private:
  friend class KvmSlots;
  Fd fd_;
  std::size_t run_size_bytes_;
};

/// Registers guest memory with KVM. The only class that tells the kernel where it lies.
class KvmSlots {
 public:
  /// KVM_SET_USER_MEMORY_REGION for every region, in order, slots from 0.
  static Status register_all(const KvmVm& vm, const GuestMemory& memory, DirtyLogging logging);
};

}  // namespace wisp
