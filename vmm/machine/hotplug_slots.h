// KvmHotplugSlots: gives the guest parts of the hot-pluggable region, and takes them away, by KVM memory slots.
#pragma once

#include <algorithm>
#include <vector>

#include "virtio/mem/backend.h"
#include "vmm/kvm/vm.h"

namespace wisp {

class KvmHotplugSlots final : public HotplugSlots {
 public:
  struct Slot {
    std::uint32_t id;
    GuestRange range;
  };

  /// Slot `index` of the region has the KVM slot id first_id + index.
  KvmHotplugSlots(const KvmVm& kvm, const GuestMemory& memory, std::uint32_t first_id, DirtyLogging logging)
      : kvm_(kvm), memory_(memory), first_id_(first_id), logging_(logging) {}

  Status add_slot(std::size_t index, GuestRange range) override {
    const std::uint32_t id = first_id_ + static_cast<std::uint32_t>(index);
    (void)WISP_TRY(KvmSlots::register_slot(kvm_, memory_, id, range, logging_));
    slots_.push_back({id, range});
    return {};
  }
  Status remove_slot(std::size_t index) override {
    const std::uint32_t id = first_id_ + static_cast<std::uint32_t>(index);
    (void)WISP_TRY(KvmSlots::remove_slot(kvm_, id));
    std::erase_if(slots_, [id](const Slot& each) { return each.id == id; });
    return {};
  }
  /// Those that the guest reaches now.
  const std::vector<Slot>& slots() const { return slots_; }

 private:
  const KvmVm& kvm_;
  const GuestMemory& memory_;
  std::uint32_t first_id_;
  DirtyLogging logging_;
  std::vector<Slot> slots_;
};

}  // namespace wisp
