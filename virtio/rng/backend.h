// EntropySource: where random bytes come from. HostRandom is the one of the monitor: the host kernel's generator, which
// writes straight into the guest's buffer.
#pragma once

#include <cstdint>

#include "virtio/core/chain_cursor.h"

namespace wisp {

class EntropySource {
 public:
  virtual ~EntropySource() = default;
  /// Fills `target` from its start and returns how many bytes were really written; fewer than its size only when the
  /// source fails.
  virtual std::uint32_t fill(ChainWriter target) = 0;
};

/// getrandom(2). It does not block: the generator of a host that runs guests is long seeded.
class HostRandom final : public EntropySource {
 public:
  std::uint32_t fill(ChainWriter target) override;
};

}  // namespace wisp
