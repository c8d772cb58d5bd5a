// What a snapshot keeps of a block device: plain values, apart from the runtime types. The ring's addresses and size
// are the transport's (QueueConfig). Valid only when the device is quiesced and nothing is in flight.
#pragma once

#include <cstdint>
#include <optional>

#include "virtio/core/queue_fault.h"

namespace wisp {

struct BlockState {
  bool active = false;  ///< the driver had set DRIVER_OK; without it the rest means nothing
  std::uint64_t negotiated_features = 0;
  std::uint64_t sector_count = 0;
  std::uint16_t next_available = 0;
  std::uint16_t next_used = 0;
  bool flush_failed = false;
  std::optional<QueueFault> fault;
};

}  // namespace wisp
