// MemDevice: memory that is plugged and unplugged while the guest runs (virtio 1.2 section 5.15). One queue.
//
//   auto memory = WISP_TRY(GuestMemory::create(ram, backing, HotplugRange{region, block size}));
//   auto device = WISP_TRY(MemDevice::create(config, region.start, slots, memory));
//   device->request(512);                       // the operator: the guest should have 512 MiB of it
//
// The operator asks, the driver acts: it plugs and unplugs blocks until it has what is requested. Three sizes:
//   slot (>= 128 MiB)   what KVM lets the guest reach: there while one of its blocks is plugged
//   block (>= 2 MiB)    what the driver plugs
//   usable region       the requested size in whole slots; grows with each request, shrinks with UNPLUG_ALL only
// No block is ever plugged outside the usable region, so the guest can reach at most the largest size that was
// requested, rounded up to a slot, whatever it plugs where.
//
// Order: a slot is there before its first block is plugged; it is gone, and the guest's access with it, before its
// last block's memory goes back to the host. GuestMemory holds which blocks are plugged; nobody else keeps a copy, so
// a queue or a buffer in an unplugged block is outside memory for every device.
//
// A turn makes at most kSlotChangesPerTurn slot changes, because each stops the vCPUs for a moment; UNPLUG_ALL goes on
// in the next turn. One plug or unplug is not split: it is at most 2^16 blocks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "virtio/core/queue_device.h"
#include "virtio/mem/backend.h"
#include "virtio/mem/config_check.h"
#include "virtio/mem/metrics.h"
#include "virtio/mem/request.h"
#include "vmm/base/clock.h"
#include "vmm/config/memory_hotplug.h"

namespace wisp {

inline constexpr std::uint64_t kSlotChangesPerTurn = 16;

/// Section 5.15.3.
namespace mem_feature {
inline constexpr std::uint64_t kUnpluggedInaccessible = 1U << 1U;
}  // namespace mem_feature

class MemDevice final : public QueueDevice {
 public:
  /// `memory` has a hot-pluggable region of the configured size and block size at `region_start` (asserted), and
  /// outlives the device, as `slots` does.
  static Result<std::unique_ptr<MemDevice>> create(const MemoryHotplugConfig& config, GuestAddress region_start,
                                                   HotplugSlots& slots, const GuestMemory& memory);
  static Result<std::unique_ptr<MemDevice>> create(const MemoryHotplugConfig& config, GuestAddress region_start,
                                                   HotplugSlots& slots, const GuestMemory& memory, const Clock& clock);
  ~MemDevice() override { reset(); }

  VirtioDeviceType type() const override { return VirtioDeviceType::Mem; }
  std::uint64_t offered_features() const override;
  std::size_t queue_count() const override { return 1; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;

  /// Loop thread. Tells the driver how much the guest should have.
  Status request(std::uint64_t requested_size_mib);
  MemoryHotplugStatus status() const;

  void save(StateWriter& out) const override;
  /// Marks the saved blocks as plugged, if the memory does not know them yet, with what they hold, and adds their
  /// slots. Before the transports that have queues in them are restored.
  Status restore(StateReader& in) override;
  const MemMetrics& metrics() const { return metrics_; }

 private:
  struct PrivateTag {};
  struct Sizes {
    std::uint64_t requested;
    std::uint64_t usable;
  };
  struct SlotSpan {
    std::size_t first;
    std::size_t end;
  };

 public:
  MemDevice(PrivateTag tag, const MemoryHotplugConfig& config, GuestRange region, HotplugSlots& slots,
            const GuestMemory& memory, const Clock& clock);

 private:
  enum class Progress { Done, Unfinished };

  Backlog serve(std::size_t index) override;
  Status on_activate() override;

  Pump handle(DescriptorChain chain, BatchBudget& budget);
  MemAnswer carry_out(const MemRequest& request, BatchBudget& budget);
  MemAnswer refuse(MemDefect defect);
  MemAnswer plug(GuestRange blocks, BatchBudget& budget);
  MemAnswer unplug(GuestRange blocks, BatchBudget& budget);
  Progress unplug_some_slots(BatchBudget& budget, MemAnswer& answer);
  BlockState state_of(GuestRange blocks) const;
  void count(MemOp op, MemAnswer answer, std::uint64_t started_ns, std::uint64_t size_bytes);

  SlotSpan slots_of(GuestRange blocks) const;
  GuestRange slot_range(std::size_t slot) const;
  bool add_slots(SlotSpan span, BatchBudget& budget);
  void remove_idle_slots(SlotSpan span);
  bool remove_emptied_slots(GuestRange blocks, BatchBudget& budget);
  bool remove_slot(std::size_t slot);
  void free_idle_slots(SlotSpan span);
  void note_discard(const Discarded& discarded);

  std::uint64_t in_whole_slots(std::uint64_t size_bytes) const;
  Status check_saved(const Sizes& sizes, std::span<const std::byte> bitmap, StateReader& in) const;
  Status plug_saved(std::span<const std::byte> bitmap);

  MemMetrics metrics_;
  Counter ignored_config_writes_;
  MemoryHotplugConfig config_;
  GuestRange region_;
  std::uint64_t block_size_bytes_;
  std::uint64_t slot_size_bytes_;
  HotplugSlots& slots_;
  const GuestMemory& guest_memory_;
  const Clock& clock_;
  std::vector<bool> slot_present_;
  // Read by vCPU threads (configuration space), written by the loop's.
  std::atomic<std::uint64_t> requested_bytes_ = 0;
  std::atomic<std::uint64_t> usable_bytes_ = 0;
  std::atomic<std::uint64_t> plugged_bytes_ = 0;
};

}  // namespace wisp
