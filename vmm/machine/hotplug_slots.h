// KvmHotplugSlots: gives the guest parts of the hot-pluggable region, and takes them away, by KVM memory slots.
#pragma once

#include "virtio/mem/backend.h"
#include "vmm/kvm/vm.h"

namespace wisp {

class KvmHotplugSlots final : public HotplugSlots {
 public:
  /// Slot `index` of the region has the KVM slot id first_id + index.
  KvmHotplugSlots(const KvmVm& kvm, const GuestMemory& memory, std::uint32_t first_id, DirtyLogging logging)
      : kvm_(kvm), memory_(memory), first_id_(first_id), logging_(logging) {}

  Status add_slot(std::size_t index, GuestRange range) override {
    return KvmSlots::register_slot(kvm_, memory_, first_id_ + static_cast<std::uint32_t>(index), range, logging_);
  }
  Status remove_slot(std::size_t index) override {
    return KvmSlots::remove_slot(kvm_, first_id_ + static_cast<std::uint32_t>(index));
  }

 private:
  const KvmVm& kvm_;
  const GuestMemory& memory_;
  std::uint32_t first_id_;
  DirtyLogging logging_;
};

}  // namespace wisp
