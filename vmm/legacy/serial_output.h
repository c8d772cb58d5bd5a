// SerialOutput: where the guest's console bytes go. Never blocks: a byte that cannot be taken now is lost.
//
// Losing is right: the writer is a vCPU, and a reader of the console that has stopped must not stop the guest.
#pragma once

#include <cstddef>

#include "vmm/base/fd.h"

namespace wisp {

class SerialOutput {
 public:
  /// A descriptor of our own, opened non-blocking (open_line_sink).
  static SerialOutput owned(Fd sink);
  /// A descriptor that others use too (standard output). Its flags are not ours to change, so each write asks first.
  static SerialOutput shared(FdRef sink);

  enum class Outcome { Written, Lost };
  Outcome put(std::byte byte) const;

 private:
  enum class Asking { No, Yes };
  SerialOutput(Fd owned, int target, Asking asking) : owned_(std::move(owned)), target_(target), asking_(asking) {}

  Fd owned_;  // empty for a shared descriptor
  int target_;
  Asking asking_;
};

}  // namespace wisp
