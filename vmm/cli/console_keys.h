// The console of `wisp run`: a person types, and Ctrl-A is ours.
//
//   Ctrl-A x        ends the machine
//   Ctrl-A h        shows the keys
//   Ctrl-A Ctrl-A   types Ctrl-A
//   everything else is the guest's, a Ctrl-A before it included
//
// The guest's serial line reads a pipe in place of the terminal; this moves the terminal's bytes into it and takes the
// commands out. What the guest does not read is dropped when the pipe is full, as a terminal does it, so that Ctrl-A x
// always works.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "vmm/events/event_loop.h"

namespace wisp {

/// Takes the commands out of a stream of keys, wherever the reads cut it.
class KeyFilter {
 public:
  enum class Action { None, Help, End };
  struct Typed {
    std::string for_guest;
    Action action = Action::None;  ///< the last one; End wins, and nothing behind it counts
  };
  Typed take(std::span<const char> keys);

 private:
  bool after_prefix_ = false;
};

class ConsoleKeys final : public EventHandler {
 public:
  /// Makes standard input a pipe and the terminal behind it raw, and watches it; nothing when standard input is not a
  /// terminal, or not ours to read. Called on the loop's thread, before there is a machine.
  static Result<std::unique_ptr<ConsoleKeys>> take_over_terminal(EventLoop& loop, std::function<void()> on_end);

  void on_event(std::uint32_t events) override;

 private:
  ConsoleKeys(EventLoop& loop, Fd terminal, Fd guest, std::function<void()> on_end)
      : loop_(loop), terminal_(std::move(terminal)), guest_(std::move(guest)), on_end_(std::move(on_end)) {}

  EventLoop& loop_;
  Fd terminal_;
  Fd guest_;
  std::function<void()> on_end_;
  KeyFilter filter_;
};

}  // namespace wisp
