// RawTerminal: hands the keyboard to the guest for as long as it lives.
//
// Echo, line editing, the keys that send signals or stop the output, and what Enter means are the guest's business
// then. The former settings come back when the object goes, or at exit() if it is still there; restore() may also be
// called from a signal handler.
#pragma once

#include <optional>

#include "vmm/base/fd.h"

namespace wisp {

class RawTerminal {
 public:
  /// Nothing happens, and nothing is returned, when `terminal` is not one or belongs to another job: a process in the
  /// background must not change the settings of the shell in front of it. One object at a time.
  static std::optional<RawTerminal> enter(FdRef terminal);

  RawTerminal(RawTerminal&& other) noexcept : active_(std::exchange(other.active_, false)) {}
  RawTerminal& operator=(RawTerminal&&) = delete;
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

  /// Puts the settings back, once; async-signal-safe.
  static void restore();

 private:
  RawTerminal() = default;
  bool active_ = true;
};

}  // namespace wisp
