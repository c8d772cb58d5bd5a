// Kernels with a fault that users of microVMs have met: which, what one sees, what to do.
//
// Each row names where it is told in public. A distribution may have repaired its kernel without a new version, or
// brought the fault into an older one, so a row is a warning and never a failure.
#pragma once

#include <span>

#include "vmm/doctor/text.h"

namespace wisp {

struct KnownKernel {
  text::KernelVersion first;     ///< with the fault
  text::KernelVersion repaired;  ///< the first without it; of the same series where that matters
  const char* symptom;
  const char* remedy;
  const char* source;
};

std::span<const KnownKernel> known_kernels();

}  // namespace wisp
