// QueueConfig: what the driver has programmed for one queue, before it is live (virtio 1.2 section 4.2.3.2).
//
//   config.set_size(256);
//   config.set_address(QueuePart::DescriptorTable, AddressHalf::Low, 0x10000);
//   ...
//   config.make_ready(memory) == QueueConfigDefect::None      // all of it checked at once, then frozen
//   VirtQueue queue = *config.activate(memory, features);     // the live ring, from the same checks
//
// While ready, nothing can be changed; the transport closes all of it at DRIVER_OK. The live queue has its own copy.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "virtio/core/virt_queue.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

enum class QueuePart : std::uint8_t { DescriptorTable, AvailableRing, UsedRing };
enum class AddressHalf : std::uint8_t { Low, High };

enum class QueueConfigDefect : std::uint8_t {
  None,
  Size,           ///< not a power of two from 1 to kMaxQueueSize
  Alignment,      ///< 16, 2 and 4 bytes (section 2.7)
  OutsideMemory,  ///< a part that is not wholly inside one memory region
};

class QueueConfig {
 public:
  explicit QueueConfig(std::uint16_t largest_size) : largest_size_(largest_size), size_(largest_size) {}

  bool ready() const { return ready_; }
  /// All 32 bits count: 0x10100 is not 0x100. Ignored while ready, like every setter.
  void set_size(std::uint32_t size);
  void set_address(QueuePart part, AddressHalf half, std::uint32_t value);
  /// Checks everything. With a defect the queue stays not ready.
  QueueConfigDefect make_ready(const GuestMemory& memory);
  void make_unready() { ready_ = false; }

  /// What a snapshot keeps. The bytes are untrusted: a restored queue goes through the same checks as a driver's.
  void save(StateWriter& out) const;
  Status restore(StateReader& in, const GuestMemory& memory);

  /// The live queue; nothing when the driver has not made it ready.
  std::optional<VirtQueue> activate(const GuestMemory& memory, std::uint64_t negotiated_features) const;

  std::uint32_t size() const { return size_; }
  GuestAddress address(QueuePart part) const { return GuestAddress(addresses_[static_cast<std::size_t>(part)]); }

 private:
  QueueConfigDefect check(const GuestMemory& memory, RingParts& parts) const;

  std::uint16_t largest_size_;
  std::uint32_t size_;
  std::array<std::uint64_t, 3> addresses_{};
  bool ready_ = false;
};

}  // namespace wisp
