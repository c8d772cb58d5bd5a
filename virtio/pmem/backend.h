// PmemBackend: what stands behind a persistent memory device. The guest reads and writes its bytes by itself, so all
// that is left for the device is their size and to make them durable. PmemFile is the one of the monitor.
#pragma once

#include <cstdint>

#include "vmm/base/fd.h"

namespace wisp {

class PmemBackend {
 public:
  virtual ~PmemBackend() = default;
  /// What the guest sees: whole blocks of kPmemAlignmentBytes.
  virtual std::uint64_t size_bytes() const = 0;
  /// What of it is durable.
  virtual std::uint64_t file_size_bytes() const = 0;
  virtual Access access() const = 0;
  /// Returns when all that was written is on the medium: 0, or the errno.
  [[nodiscard]] virtual int sync() = 0;
};

}  // namespace wisp
