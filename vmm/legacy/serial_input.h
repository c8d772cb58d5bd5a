// SerialInput: feeds the console's input (standard input, as a rule) to the guest, on the event loop's thread.
//
// Back-pressure reaches the host: while the guest's receive FIFO is full nothing is read and nothing is watched; the
// guest's next reads re-arm it. The end of the input, or an error, ends the watch and nothing else.
#pragma once

#include <memory>

#include "vmm/events/event_loop.h"
#include "vmm/legacy/serial.h"

namespace wisp {

class SerialInput {
 public:
  /// Only a terminal or a FIFO is somebody who types; a file or /dev/null is not.
  static bool accepts(FdRef input);
  /// Starts watching. `loop`, `input` and `serial` outlive this. Made and destroyed on the loop's thread.
  static Result<std::unique_ptr<SerialInput>> attach(EventLoop& loop, FdRef input, Serial& serial);
  ~SerialInput();
  SerialInput(const SerialInput&) = delete;
  SerialInput& operator=(const SerialInput&) = delete;

  enum class State { Watching, WaitingForRoom, Ended };
  State state() const { return state_; }

 private:
  SerialInput(EventLoop& loop, FdRef input, Serial& serial);

  class OnInput final : public EventHandler {
   public:
    explicit OnInput(SerialInput& owner) : owner_(owner) {}
    void on_event(std::uint32_t events) override { owner_.transfer(events); }

   private:
    SerialInput& owner_;
  };
  class OnRoom final : public EventHandler {
   public:
    explicit OnRoom(SerialInput& owner) : owner_(owner) {}
    void on_event(std::uint32_t /*events*/) override { owner_.resume(); }

   private:
    SerialInput& owner_;
  };

  void transfer(std::uint32_t events);
  void resume();
  void stop_watching(State next);

  EventLoop& loop_;
  FdRef input_;
  Serial& serial_;
  OnInput on_input_{*this};
  OnRoom on_room_{*this};
  State state_ = State::Ended;
};

}  // namespace wisp
